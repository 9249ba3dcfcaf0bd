#include "rpc/http2.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include <nghttp2/nghttp2.h>

#include "base/assert.h"
#include "rpc/http2_fields.h"

namespace lockstep::rpc {
namespace {

// The library's own guards. Ours (the owner's budget) are tighter; these bound one receive().
constexpr std::size_t outbound_acks_max = 4096;
constexpr std::size_t settings_entries_max = 32;
constexpr std::size_t continuations_max = 8;
constexpr std::uint64_t resets_burst_max = 1'000'000;
// The library ends the connection when the announced concurrency is exceeded. We announce ours on the wire,
// tell it this, and refuse single streams.
constexpr std::uint32_t concurrent_streams_for_library = 0x7fffffff;
// Clients use every id, or skip a few.
constexpr std::size_t skipped_ranges_max = 16;
constexpr std::size_t frame_header_bytes = 9;
// Of a body, what was sent and is still kept; more goes when it is the larger part, so that the move is paid.
constexpr std::size_t taken_body_bytes_max = 64 * 1024;
// What a server answers goes out in turns, a frame of each stream, whatever clients wish (RFC 9218).
constexpr nghttp2_extpri equal_shares{.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1};

void append_uint32(std::string& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift & 0xff));
}

}  // namespace

// Stream ids between these, both left out, were never used and may not be any more.
struct SkippedIds {
  std::int32_t after = 0;
  std::int32_t before = 0;
};

struct Http2Session::Impl {
  Impl(const Http2Options& session_options, Http2Events& session_events);
  ~Impl() { nghttp2_session_del(session); }

  Http2Stream* stream_of(std::int32_t id) {
    if (id == cached_id) return cached;
    auto* found = static_cast<Http2Stream*>(nghttp2_session_get_stream_user_data(session, id));
    if (found == nullptr) return nullptr;
    cached_id = id;
    cached = found;
    return found;
  }
  void forget(std::int32_t id) {
    if (cached_id != id) return;
    cached_id = 0;
    cached = nullptr;
  }
  void fail(int library_error);
  void on_frame(const nghttp2_frame& frame);
  void on_frame_sent(const nghttp2_frame& frame);
  nghttp2_data_provider provider(Http2Stream& stream);

  Http2Options options;
  Http2Events& events;
  nghttp2_session* session = nullptr;
  std::string* out = nullptr;  // during produce()
  std::string first_bytes;     // our SETTINGS, and a last GOAWAY of our own
  std::int32_t cached_id = 0;
  Http2Stream* cached = nullptr;
  std::vector<SkippedIds> skipped;  // the latest
  std::int32_t last_request_id = 0;
  bool data_was_empty = false;  // of the DATA frame being read
  bool dead = false;            // the library's session may not be used any more
  bool ending = false;          // terminate() was called
  bool receiving = false;
  Http2Error end_error = Http2Error::no_error;  // of terminate()
  std::string end_text;
};

namespace {

using Impl = Http2Session::Impl;

Impl& impl_of(void* user) {
  return *static_cast<Impl*>(user);
}

int on_begin_headers(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
  Impl& impl = impl_of(user);
  if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
  const std::int32_t id = frame->hd.stream_id;
  if (id > impl.last_request_id + 2) {
    if (impl.skipped.size() == skipped_ranges_max) impl.skipped.erase(impl.skipped.begin());
    impl.skipped.push_back({impl.last_request_id, id});
  }
  impl.last_request_id = id;
  Http2Stream* stream = impl.events.on_request(id);
  if (stream == nullptr) {
    nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
    return 0;
  }
  stream->id = id;
  LS_MUST(nghttp2_session_set_stream_user_data(session, id, stream) == 0);
  constexpr int ignore_client = 1;
  LS_MUST(nghttp2_session_change_extpri_stream_priority(session, id, &equal_shares, ignore_client) == 0);
  impl.cached_id = id;
  impl.cached = stream;
  return 0;
}

int on_header(nghttp2_session* /*session*/, const nghttp2_frame* frame, const std::uint8_t* name,
              std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
              std::uint8_t /*flags*/, void* user) {
  Impl& impl = impl_of(user);
  Http2Stream* stream = impl.stream_of(frame->hd.stream_id);
  if (stream == nullptr) return 0;
  const bool good = impl.events.on_header(*stream, text_of(name, name_size), text_of(value, value_size));
  return good ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

int on_invalid_header(nghttp2_session* session, const nghttp2_frame* frame, const std::uint8_t* /*name*/,
                      std::size_t /*name_size*/, const std::uint8_t* /*value*/, std::size_t /*value_size*/,
                      std::uint8_t /*flags*/, void* /*user*/) {
  nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_PROTOCOL_ERROR);
  return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

int on_data_chunk(nghttp2_session* /*session*/, std::uint8_t /*flags*/, std::int32_t id,
                  const std::uint8_t* bytes, std::size_t size, void* user) {
  Impl& impl = impl_of(user);
  if (size != 0) impl.data_was_empty = false;
  if (Http2Stream* stream = impl.stream_of(id)) impl.events.on_data(*stream, text_of(bytes, size));
  return 0;
}

// The library takes a request on a smaller id than the last for a late frame of a closed stream. It is one
// only if that stream ever was.
int on_begin_frame(nghttp2_session* /*session*/, const nghttp2_frame_hd* header, void* user) {
  Impl& impl = impl_of(user);
  if (header->type == NGHTTP2_DATA) impl.data_was_empty = true;
  if (header->type == NGHTTP2_PRIORITY) {
    // The library ignores it and tells nobody.
    if (header->stream_id == 0) {
      impl.ending = true;
      impl.end_error = Http2Error::protocol_error;
      impl.end_text = "PRIORITY: stream_id == 0";
    } else {
      impl.events.on_cheap_frame(Http2Cheap::priority, nullptr);
    }
    return impl.ending ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
  }
  if (header->type != NGHTTP2_HEADERS || header->stream_id >= impl.last_request_id) return 0;
  const bool was_skipped = std::ranges::any_of(impl.skipped, [&](const SkippedIds& ids) {
    return ids.after < header->stream_id && header->stream_id < ids.before;
  });
  if (!was_skipped) return 0;
  impl.ending = true;
  impl.end_error = Http2Error::protocol_error;
  impl.end_text = "stream ids must grow";
  return NGHTTP2_ERR_CALLBACK_FAILURE;
}

int on_frame_recv(nghttp2_session* /*session*/, const nghttp2_frame* frame, void* user) {
  Impl& impl = impl_of(user);
  impl.on_frame(*frame);
  return impl.ending ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;  // the rest of the bytes is not looked at
}

int on_frame_send(nghttp2_session* /*session*/, const nghttp2_frame* frame, void* user) {
  impl_of(user).on_frame_sent(*frame);
  return 0;
}

int on_frame_not_send(nghttp2_session* /*session*/, const nghttp2_frame* frame, int /*error*/, void* user) {
  if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
  impl_of(user).events.on_request_not_sent(frame->hd.stream_id);
  return 0;
}

int on_stream_close(nghttp2_session* session, std::int32_t id, std::uint32_t code, void* user) {
  Impl& impl = impl_of(user);
  Http2Stream* stream = impl.stream_of(id);
  impl.forget(id);
  if (stream == nullptr) return 0;
  nghttp2_session_set_stream_user_data(session, id, nullptr);
  impl.events.on_closed(*stream, http2_error_of(code));
  return 0;
}

ssize_t read_body(nghttp2_session* /*session*/, std::int32_t /*id*/, std::uint8_t* /*buffer*/,
                  std::size_t size, std::uint32_t* flags, nghttp2_data_source* source, void* user) {
  auto* stream = static_cast<Http2Stream*>(source->ptr);
  const std::size_t left = stream->body_left();
  if (left == 0 && !stream->body_ends) {
    stream->body_waits = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  const std::size_t taken = std::min(left, size);
  if (taken == left && stream->body_ends) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (impl_of(user).events.on_body_end(*stream)) *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
  }
  return static_cast<ssize_t>(taken);
}

int send_body(nghttp2_session* /*session*/, nghttp2_frame* /*frame*/, const std::uint8_t* header,
              std::size_t size, nghttp2_data_source* source, void* user) {
  Impl& impl = impl_of(user);
  auto* stream = static_cast<Http2Stream*>(source->ptr);
  LS_MUST(impl.out != nullptr);
  LS_MUST(size <= stream->body_left());
  impl.out->append(text_of(header, frame_header_bytes));
  impl.out->append(stream->body, stream->body_taken, size);
  stream->body_taken += size;
  // What is always appended to before it is drained must not keep all that was ever sent.
  if (stream->body_left() == 0) {
    stream->body.clear();
    stream->body_taken = 0;
  } else if (stream->body_taken > taken_body_bytes_max && stream->body_taken > stream->body.size() / 2) {
    stream->body.erase(0, stream->body_taken);
    stream->body_taken = 0;
  }
  impl.events.on_body_taken(*stream, size);
  return 0;
}

const nghttp2_session_callbacks* callbacks() {
  static const nghttp2_session_callbacks* const made = [] {
    nghttp2_session_callbacks* table = nullptr;
    LS_MUST(nghttp2_session_callbacks_new(&table) == 0);
    nghttp2_session_callbacks_set_on_begin_headers_callback(table, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(table, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(table, on_invalid_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(table, on_data_chunk);
    nghttp2_session_callbacks_set_on_begin_frame_callback(table, on_begin_frame);
    nghttp2_session_callbacks_set_on_frame_recv_callback(table, on_frame_recv);
    nghttp2_session_callbacks_set_on_frame_send_callback(table, on_frame_send);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(table, on_frame_not_send);
    nghttp2_session_callbacks_set_on_stream_close_callback(table, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(table, send_body);
    return table;
  }();
  return made;
}

nghttp2_session* make_session(const Http2Options& options, Impl& impl) {
  nghttp2_option* option = nullptr;
  LS_MUST(nghttp2_option_new(&option) == 0);
  nghttp2_option_set_no_closed_streams(option, 1);
  nghttp2_option_set_no_auto_window_update(option, options.manual_windows ? 1 : 0);
  nghttp2_option_set_max_outbound_ack(option, outbound_acks_max);
  nghttp2_option_set_max_settings(option, settings_entries_max);
  nghttp2_option_set_max_continuations(option, continuations_max);
  nghttp2_option_set_stream_reset_rate_limit(option, resets_burst_max, resets_burst_max);
  nghttp2_session* session = nullptr;
  const int made = options.server ? nghttp2_session_server_new2(&session, callbacks(), &impl, option)
                                  : nghttp2_session_client_new2(&session, callbacks(), &impl, option);
  nghttp2_option_del(option);
  LS_MUST(made == 0);
  return session;
}

}  // namespace

Http2Session::Impl::Impl(const Http2Options& session_options, Http2Events& session_events)
    : options(session_options), events(session_events), session(make_session(session_options, *this)) {
  const std::uint32_t concurrency = options.server ? concurrent_streams_for_library : 0;
  std::array<nghttp2_settings_entry, 4> entries = {{
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, concurrency},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options.stream_window_bytes},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, options.header_list_bytes_max},
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
  }};
  // A server may not mention push. No gRPC client sets priorities, and the library's tree of streams for the
  // old ones costs time in every call.
  if (options.server) entries.back() = {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1};
  LS_MUST(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, entries.data(), entries.size()) == 0);
  LS_MUST(nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0,
                                                static_cast<std::int32_t>(options.connection_window_bytes)) ==
          0);
  const std::uint8_t* bytes = nullptr;
  for (ssize_t size = 0; (size = nghttp2_session_mem_send(session, &bytes)) > 0;)
    first_bytes.append(text_of(bytes, static_cast<std::size_t>(size)));
  if (!options.server) return;
  constexpr std::size_t value_offset = frame_header_bytes + 2;
  std::string value;
  append_uint32(value, options.concurrent_streams_max);
  LS_MUST(static_cast<unsigned char>(first_bytes[frame_header_bytes + 1]) ==
          NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
  first_bytes.replace(value_offset, value.size(), value);
}

void Http2Session::Impl::fail(int library_error) {
  if (dead) return;
  dead = true;
  Http2Error error = Http2Error::internal_error;
  if (library_error == NGHTTP2_ERR_BAD_CLIENT_MAGIC) error = Http2Error::protocol_error;
  if (library_error == NGHTTP2_ERR_FLOODED || library_error == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS)
    error = Http2Error::enhance_your_calm;
  std::string text = nghttp2_strerror(library_error);
  if (ending) {
    error = end_error;
    text = std::move(end_text);
  }
  append_goaway_frame(first_bytes, nghttp2_session_get_last_proc_stream_id(session), error, text);
  events.on_goaway_sent(error);
}

void Http2Session::Impl::on_frame(const nghttp2_frame& frame) {
  const bool ack = (frame.hd.flags & NGHTTP2_FLAG_ACK) != 0;
  const bool end = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  switch (frame.hd.type) {
    case NGHTTP2_DATA:
      if (data_was_empty && !end) events.on_cheap_frame(Http2Cheap::empty_data, nullptr);
      if (Http2Stream* stream = end ? stream_of(frame.hd.stream_id) : nullptr) events.on_end(*stream);
      return;
    case NGHTTP2_HEADERS:
      if (Http2Stream* stream = stream_of(frame.hd.stream_id)) {
        events.on_headers_end(*stream);
        if (end) events.on_end(*stream);
      }
      return;
    case NGHTTP2_RST_STREAM:
      return events.on_cheap_frame(Http2Cheap::reset, stream_of(frame.hd.stream_id));
    case NGHTTP2_SETTINGS:
      if (!ack) events.on_cheap_frame(Http2Cheap::settings, nullptr);
      return;
    case NGHTTP2_PING:
      return ack ? events.on_ping_ack() : events.on_cheap_frame(Http2Cheap::ping, nullptr);
    case NGHTTP2_GOAWAY:
      return events.on_goaway(frame.goaway.last_stream_id, http2_error_of(frame.goaway.error_code),
                              text_of(frame.goaway.opaque_data, frame.goaway.opaque_data_len));
    default:
      return;
  }
}

void Http2Session::Impl::on_frame_sent(const nghttp2_frame& frame) {
  switch (frame.hd.type) {
    case NGHTTP2_RST_STREAM:
      return events.on_reset_sent(http2_error_of(frame.rst_stream.error_code));
    case NGHTTP2_GOAWAY:
      return events.on_goaway_sent(http2_error_of(frame.goaway.error_code));
    case NGHTTP2_DATA:
    case NGHTTP2_HEADERS:
      if (frame.hd.type == NGHTTP2_HEADERS && frame.headers.cat == NGHTTP2_HCAT_REQUEST) {
        if (Http2Stream* stream = stream_of(frame.hd.stream_id)) events.on_request_sent(*stream);
      }
      // An answer before the end of the request: the client may stop sending (RFC 9113, section 8.1).
      if (options.server && (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 &&
          nghttp2_session_get_stream_remote_close(session, frame.hd.stream_id) == 0)
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame.hd.stream_id, NGHTTP2_NO_ERROR);
      return;
    default:
      return;
  }
}

nghttp2_data_provider Http2Session::Impl::provider(Http2Stream& stream) {
  nghttp2_data_provider made{};
  made.source.ptr = &stream;
  made.read_callback = read_body;
  return made;
}

Http2Session::Http2Session(const Http2Options& options, Http2Events& events)
    : impl_(std::make_unique<Impl>(options, events)) {}

Http2Session::~Http2Session() = default;

void Http2Session::receive(std::string_view bytes) {
  Impl& impl = *impl_;
  if (impl.dead || impl.ending) return;
  impl.receiving = true;
  const ssize_t taken = nghttp2_session_mem_recv(impl.session, bytes_of(bytes), bytes.size());
  impl.receiving = false;
  if (taken < 0) impl.fail(static_cast<int>(taken));
}

void Http2Session::produce(std::string& out, std::size_t bytes) {
  Impl& impl = *impl_;
  out.append(std::exchange(impl.first_bytes, {}));
  if (impl.dead) return;
  impl.out = &out;
  while (out.size() < bytes) {
    const std::uint8_t* frame = nullptr;
    const ssize_t size = nghttp2_session_mem_send(impl.session, &frame);
    if (size < 0) impl.fail(static_cast<int>(size));
    if (size <= 0) break;
    out.append(text_of(frame, static_cast<std::size_t>(size)));
  }
  impl.out = nullptr;
  out.append(std::exchange(impl.first_bytes, {}));
}

bool Http2Session::wants_write() const {
  if (!impl_->first_bytes.empty()) return true;
  return !impl_->dead && nghttp2_session_want_write(impl_->session) != 0;
}

bool Http2Session::at_rest() const {
  return !impl_->receiving && impl_->out == nullptr;
}

bool Http2Session::finished() const {
  if (impl_->dead) return true;
  if (nghttp2_session_want_write(impl_->session) != 0) return false;
  return impl_->ending || nghttp2_session_want_read(impl_->session) == 0;
}

bool Http2Session::submit_response(Http2Stream& stream, std::span<const Http2Header> headers, bool has_body) {
  if (impl_->dead) return false;
  const FieldArray fields(headers);
  const nghttp2_data_provider body = impl_->provider(stream);
  return nghttp2_submit_response(impl_->session, stream.id, fields.fields.data(), fields.count,
                                 has_body ? &body : nullptr) == 0;
}

bool Http2Session::submit_trailers(Http2Stream& stream, std::span<const Http2Header> trailers) {
  const FieldArray fields(trailers);
  return nghttp2_submit_trailer(impl_->session, stream.id, fields.fields.data(), fields.count) == 0;
}

void Http2Session::submit_request(Http2Stream& stream, std::span<const Http2Header> headers, bool has_body) {
  stream.id = 0;
  if (impl_->dead) return;
  const FieldArray fields(headers);
  const nghttp2_data_provider body = impl_->provider(stream);
  const std::int32_t id = nghttp2_submit_request(impl_->session, nullptr, fields.fields.data(), fields.count,
                                                 has_body ? &body : nullptr, &stream);
  stream.id = std::max(id, 0);
}

void Http2Session::body_changed(Http2Stream& stream) {
  if (impl_->dead || !std::exchange(stream.body_waits, false)) return;
  nghttp2_session_resume_data(impl_->session, stream.id);
}

void Http2Session::reset(Http2Stream& stream, Http2Error error) {
  if (impl_->dead) return;
  nghttp2_submit_rst_stream(impl_->session, NGHTTP2_FLAG_NONE, stream.id, static_cast<std::uint32_t>(error));
}

void Http2Session::consume_connection(std::size_t bytes) {
  if (!impl_->dead && bytes != 0) nghttp2_session_consume_connection(impl_->session, bytes);
}

void Http2Session::consume_stream(const Http2Stream& stream, std::size_t bytes) {
  if (!impl_->dead && bytes != 0) nghttp2_session_consume_stream(impl_->session, stream.id, bytes);
}

void Http2Session::ping() {
  if (!impl_->dead) nghttp2_submit_ping(impl_->session, NGHTTP2_FLAG_NONE, nullptr);
}

void Http2Session::announce_shutdown() {
  if (!impl_->dead) nghttp2_submit_shutdown_notice(impl_->session);
}

void Http2Session::refuse_new_streams() {
  if (impl_->dead) return;
  nghttp2_submit_goaway(impl_->session, NGHTTP2_FLAG_NONE, last_stream_id(), NGHTTP2_NO_ERROR, nullptr, 0);
}

void Http2Session::terminate(Http2Error error, std::string_view text) {
  if (impl_->dead || std::exchange(impl_->ending, true)) return;
  impl_->end_error = error;
  impl_->end_text = text;
  if (impl_->receiving) return;  // receive() ends it
  nghttp2_submit_goaway(impl_->session, NGHTTP2_FLAG_NONE, last_stream_id(),
                        static_cast<std::uint32_t>(error), bytes_of(text), text.size());
}

std::int32_t Http2Session::last_stream_id() const {
  return nghttp2_session_get_last_proc_stream_id(impl_->session);
}

std::uint32_t Http2Session::peer_concurrent_streams_max() const {
  return nghttp2_session_get_remote_settings(impl_->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

std::size_t Http2Session::queued_frames() const {
  return impl_->dead ? 0 : nghttp2_session_get_outbound_queue_size(impl_->session);
}

}  // namespace lockstep::rpc
