#include "gateway/json/json_gateway.h"

#include <chrono>
#include <optional>
#include <utility>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/json_util.h>

#include "base/assert.h"
#include "gateway/json/json_reader.h"
#include "gateway/json/routes.h"
#include "proto/kv.pb.h"

namespace lockstep::gateway {
namespace {

// Of a stream's body.
constexpr int messages_per_turn_max = 64;

using google::protobuf::Descriptor;
using google::protobuf::DescriptorPool;
using google::protobuf::Message;
using google::protobuf::MessageFactory;
using google::protobuf::MethodDescriptor;

const MethodDescriptor* find_method(std::string_view path) {
  std::string name(path.substr(1));
  name[name.find('/')] = '.';
  const MethodDescriptor* method = DescriptorPool::generated_pool()->FindMethodByName(name);
  LS_MUST(method != nullptr, "every route is a method of our .proto files");
  return method;
}

std::unique_ptr<Message> make(const Descriptor* type) {
  return std::unique_ptr<Message>(MessageFactory::generated_factory()->GetPrototype(type)->New());
}

std::string to_json(const Message& message) {
  google::protobuf::util::JsonPrintOptions options;
  options.preserve_proto_field_names = true;
  std::string json;
  const auto status = google::protobuf::util::MessageToJsonString(message, &json, options);
  LS_MUST(status.ok(), "our own messages have a JSON form");
  return json;
}

std::string quoted(std::string_view text) {
  std::string json = "\"";
  for (const char character : text) {
    if (character == '"' || character == '\\') json.push_back('\\');
    // Anything below a space would be an error of ours: such bytes are not worth an escape.
    json.push_back(static_cast<unsigned char>(character) < 0x20 ? ' ' : character);
  }
  return json + "\"";
}

std::string error_body(const rpc::GrpcStatus& status) {
  const std::string text = quoted(status.message);
  return "{\"error\":" + text + ",\"message\":" + text +
         ",\"code\":" + std::to_string(static_cast<int>(status.code)) + "}";
}

std::string stream_error_line(const rpc::GrpcStatus& status) {
  const int http = http_status_of(status.code);
  return "{\"error\":{\"grpc_code\":" + std::to_string(static_cast<int>(status.code)) +
         ",\"http_code\":" + std::to_string(http) + ",\"message\":" + quoted(status.message) +
         ",\"http_status\":" + quoted(http_reason(http)) + "}}\n";
}

// In whole seconds: the header has no smaller unit.
std::string retry_after(const rpc::GrpcStatus& status) {
  return std::to_string(std::chrono::ceil<std::chrono::seconds>(status.retry_after).count());
}

// etcd gives a lease of less than nothing the smallest TTL; here it is taken for the mistake it is.
Status check_values(const Message& message) {
  const auto* grant = dynamic_cast<const etcdserverpb::LeaseGrantRequest*>(&message);
  if (grant != nullptr && grant->ttl() < 0) {
    return {Code::invalid_argument, "lockstep: /TTL: a lease cannot end before it begins"};
  }
  return {};
}

}  // namespace

int http_status_of(rpc::GrpcCode code) {
  switch (code) {
    case rpc::GrpcCode::ok:
      return 200;
    case rpc::GrpcCode::cancelled:
      return 408;
    case rpc::GrpcCode::invalid_argument:
    case rpc::GrpcCode::failed_precondition:
    case rpc::GrpcCode::out_of_range:
      return 400;
    case rpc::GrpcCode::deadline_exceeded:
      return 504;
    case rpc::GrpcCode::not_found:
      return 404;
    case rpc::GrpcCode::already_exists:
    case rpc::GrpcCode::aborted:
      return 409;
    case rpc::GrpcCode::permission_denied:
      return 403;
    case rpc::GrpcCode::unauthenticated:
      return 401;
    case rpc::GrpcCode::resource_exhausted:
      return 429;
    case rpc::GrpcCode::unimplemented:
      return 501;
    case rpc::GrpcCode::unavailable:
      return 503;
    case rpc::GrpcCode::unknown:
    case rpc::GrpcCode::internal:
    case rpc::GrpcCode::data_loss:
      return 500;
  }
  return 500;
}

// The calls that are running. A call goes one turn after it ended: its handler is on the stack then.
class JsonGateway::Calls : public std::enable_shared_from_this<Calls> {
 public:
  explicit Calls(env::Executor& executor) : executor_(executor) {}
  std::uint64_t add(const std::shared_ptr<Call>& call) {
    calls_.emplace(++last_id_, call);
    return last_id_;
  }
  void post(env::Closure closure) { executor_.post(std::move(closure)); }
  void drop_later(std::uint64_t id);
  void clear();
  [[nodiscard]] std::size_t size() const { return calls_.size(); }

 private:
  env::Executor& executor_;
  std::map<std::uint64_t, std::shared_ptr<Call>> calls_;
  std::uint64_t last_id_ = 0;
};

class JsonGateway::Call final : public rpc::ServerCall, public std::enable_shared_from_this<Call> {
 public:
  Call(Calls& calls, std::string method, HttpResponderPtr responder, HttpRequest request)
      : calls_(calls),
        method_(std::move(method)),
        answer_(make(find_method(method_)->output_type())),
        responder_(std::move(responder)),
        request_(std::move(request)) {}

  void serve(const Method& method) {
    id_ = calls_.add(shared_from_this());
    stop_.emplace(responder_->cancellation(), [this] { on_gone(); });
    is_stream_ = static_cast<bool>(method.streaming);
    if (is_stream_) {
      serve_stream(method.streaming);
    } else {
      serve_unary(method.unary);
    }
  }
  // Lets go of the handler, which holds this.
  void forget() {
    ended_ = true;
    stop_.reset();
    handler_.reset();
  }

  // ---- rpc::ServerCall
  [[nodiscard]] std::string_view method() const override { return method_; }
  [[nodiscard]] std::optional<std::string_view> metadata(std::string_view name) const override {
    if (const auto value = request_.field(name)) return value;
    return request_.field("grpc-metadata-" + std::string(name));
  }
  [[nodiscard]] TimePoint deadline() const override { return no_deadline; }
  [[nodiscard]] std::stop_token cancellation() override { return responder_->cancellation(); }
  [[nodiscard]] bool ended() const override { return ended_ || responder_->ended(); }
  [[nodiscard]] std::string remote_address() const override { return request_.remote_address; }
  [[nodiscard]] std::string_view peer_common_name() const override { return request_.peer_common_name; }
  [[nodiscard]] std::size_t unsent_bytes() const override { return responder_->unsent_bytes(); }
  void notify_when_unsent_below(std::size_t bytes, std::move_only_function<void()> ready) override {
    responder_->notify_when_unsent_below(bytes,
                                         [weak = weak_from_this(), ready = std::move(ready)]() mutable {
                                           const std::shared_ptr<Call> self = weak.lock();
                                           if (self != nullptr && !self->ended()) ready();
                                         });
  }
  void send(std::string_view message) override {
    if (ended()) return;
    begin_stream();
    responder_->send("{\"result\":" + json_of(message) + "}\n");
  }
  void respond(std::string_view message) override {
    if (ended()) return;
    end();
    HttpResponse response;
    response.body = json_of(message);
    responder_->respond(response);
  }
  void finish(const rpc::GrpcStatus& status) override {
    if (ended()) return;
    end();
    if (streaming_begun_) {
      if (!status.ok()) responder_->send(stream_error_line(status));
      return responder_->finish();
    }
    HttpResponse response;
    response.status = http_status_of(status.code);
    if (status.retry_after > 0ns) response.fields.push_back({"Retry-After", retry_after(status)});
    if (!status.ok()) response.body = is_stream_ ? stream_error_line(status) : error_body(status);
    responder_->respond(response);
  }

 private:
  void serve_unary(const rpc::UnaryHandler& handler) {
    const std::unique_ptr<Message> message = make(find_method(method_)->input_type());
    Status read = read_json(request_.body, message.get());
    if (read.ok()) read = check_values(*message);
    request_.body = {};
    if (!read.ok()) return finish(rpc::to_grpc(read));
    handler(shared_from_this(), message->SerializeAsString());
  }

  void serve_stream(const rpc::StreamHandlerFactory& factory) {
    handler_ = factory(shared_from_this());
    read_on();
  }

  // Some messages of the body; others have their turn before the next.
  void read_on() {
    for (int i = 0; i < messages_per_turn_max && !ended(); ++i) {
      const std::unique_ptr<Message> message = make(find_method(method_)->input_type());
      const std::string_view rest = std::string_view(request_.body).substr(body_taken_);
      std::size_t bytes = 0;
      if (const Status read = read_json(rest, message.get(), &bytes); !read.ok())
        return finish(rpc::to_grpc(read));
      body_taken_ += bytes;
      handler_->on_message(message->SerializeAsString());
      if (rest.substr(bytes).find_first_not_of(" \t\r\n") != std::string_view::npos) continue;
      request_.body = {};
      if (!ended()) handler_->on_half_close();
      return;
    }
    calls_.post([weak = weak_from_this()] {
      const std::shared_ptr<Call> self = weak.lock();
      if (self != nullptr && !self->ended()) self->read_on();
    });
  }

  std::string json_of(std::string_view bytes) {
    LS_MUST(answer_->ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
    return to_json(*answer_);
  }

  void begin_stream() {
    if (std::exchange(streaming_begun_, true)) return;
    responder_->begin(HttpResponse());
  }

  void end() {
    ended_ = true;
    calls_.drop_later(id_);
  }

  void on_gone() {
    if (std::exchange(ended_, true)) return;
    calls_.drop_later(id_);
    if (handler_ != nullptr) handler_->on_cancelled();
  }

  Calls& calls_;
  std::uint64_t id_ = 0;
  std::string method_;
  std::unique_ptr<Message> answer_;  // taken apart and printed again and again
  HttpResponderPtr responder_;
  HttpRequest request_;
  std::size_t body_taken_ = 0;  // of a stream's messages
  std::unique_ptr<rpc::ServerStreamHandler> handler_;
  std::optional<std::stop_callback<std::function<void()>>> stop_;
  bool is_stream_ = false;
  bool streaming_begun_ = false;
  bool ended_ = false;
};

void JsonGateway::Calls::drop_later(std::uint64_t id) {
  executor_.post([weak = weak_from_this(), id] {
    const std::shared_ptr<Calls> self = weak.lock();
    if (self == nullptr) return;
    const auto node = self->calls_.extract(id);
    if (!node.empty()) node.mapped()->forget();
  });
}

void JsonGateway::Calls::clear() {
  for (const auto& [id, call] : std::exchange(calls_, {})) call->forget();
}

JsonGateway::JsonGateway(env::Executor& executor) : calls_(std::make_shared<Calls>(executor)) {}

JsonGateway::~JsonGateway() {
  calls_->clear();
}

void JsonGateway::unary(std::string_view path, rpc::UnaryHandler handler) {
  for (const JsonRoute& route : json_routes()) {
    if (route.method == path) methods_[std::string(route.path)] = {std::string(path), handler, {}};
  }
}

void JsonGateway::streaming(std::string_view path, rpc::StreamHandlerFactory factory) {
  for (const JsonRoute& route : json_routes()) {
    if (route.method == path) methods_[std::string(route.path)] = {std::string(path), {}, factory};
  }
}

void JsonGateway::register_with(HttpRouter& router) {
  for (const auto& [path, method] : methods_) {
    router.exact("POST", path, [this, &method](const HttpResponderPtr& responder, HttpRequest& request) {
      serve(method, responder, request);
    });
  }
}

void JsonGateway::serve(const Method& method, const HttpResponderPtr& responder, HttpRequest& request) {
  std::make_shared<Call>(*calls_, method.path, responder, std::move(request))->serve(method);
}

std::size_t JsonGateway::calls_open() const {
  return calls_->size();
}

}  // namespace lockstep::gateway
