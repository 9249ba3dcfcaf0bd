// The sessions of a client, on its strand: those the program opened, and a pool for what it acquires without
// naming one.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/task.h"
#include "handle.h"
#include "service/session/session.h"

namespace lockstep::v1::detail {

// Closes the session when it goes, unless somebody else will.
class OwnedSession {
 public:
  OwnedSession(std::weak_ptr<Runtime> runtime, service::SessionPtr session)
      : runtime_(std::move(runtime)), session_(std::move(session)) {}
  ~OwnedSession();
  OwnedSession(const OwnedSession&) = delete;
  OwnedSession& operator=(const OwnedSession&) = delete;

  [[nodiscard]] const service::SessionPtr& session() const { return session_; }
  void leave() { left_ = true; }

 private:
  std::weak_ptr<Runtime> runtime_;
  service::SessionPtr session_;
  bool left_ = false;
};

// What programs hold.
class SessionHolder {
 public:
  SessionHolder(std::shared_ptr<Runtime> runtime, const std::shared_ptr<OwnedSession>& session)
      : id_(session->session()->id().value()),
        ttl_(session->session()->ttl()),
        over_(session->session()->over()),
        handle_(std::move(runtime), session) {}

  [[nodiscard]] SessionId id() const { return id_; }
  [[nodiscard]] Duration ttl() const { return ttl_; }
  [[nodiscard]] const std::stop_token& over() const { return over_; }
  [[nodiscard]] const Handle<OwnedSession>& handle() const { return handle_; }

 private:
  SessionId id_;
  Duration ttl_;
  std::stop_token over_;
  Handle<OwnedSession> handle_;
};

// A session of the pool while something is held or awaited with it. To the recipes, one session that asks
// twice for one thing is one holder; two parts of a program are two.
class SessionUse {
 public:
  SessionUse() = default;
  // The program's own: nothing to be given back.
  explicit SessionUse(std::shared_ptr<OwnedSession> owned) : owned_(std::move(owned)) {}
  [[nodiscard]] const service::SessionPtr& session() const { return owned_->session(); }

 private:
  friend class SessionPool;
  struct Mark;
  std::shared_ptr<OwnedSession> owned_;
  std::shared_ptr<Mark> mark_;  // its end frees the purposes
};

class SessionPool {
 public:
  // A live session that is used for none of these `purposes` ("lock/orders") yet.
  static ::lockstep::Task<::lockstep::Result<SessionUse>> take(std::shared_ptr<Runtime> runtime,
                                                               std::vector<std::string> purposes,
                                                               store::CallOptions options);
  // What the program named, or one of the pool.
  static ::lockstep::Task<::lockstep::Result<SessionUse>> take(std::shared_ptr<Runtime> runtime,
                                                               std::shared_ptr<SessionHolder> named,
                                                               std::vector<std::string> purposes,
                                                               store::CallOptions options);
  // Closes them, as far as nobody uses them.
  void clear() { entries_.clear(); }

 private:
  struct Entry {
    std::shared_ptr<OwnedSession> session;
    std::set<std::string, std::less<>> purposes;
  };
  friend struct SessionUse::Mark;
  std::optional<SessionUse> take_existing(const std::vector<std::string>& purposes);
  static SessionUse mark(const std::shared_ptr<Entry>& entry, const std::vector<std::string>& purposes);

  std::list<std::shared_ptr<Entry>> entries_;
};

}  // namespace lockstep::v1::detail
