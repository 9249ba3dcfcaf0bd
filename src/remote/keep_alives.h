// Lease renewals of one remote store, over one keep-alive stream.
//
// Renewing twice is renewing once: what was sent on a stream that broke is sent again on the next, until its
// deadline. Answers of one lease come in the order of its requests. A caller's error: deadline_exceeded when
// nothing was sent in time, unknown_outcome when something was.
// Strand only. The connections outlive this.
#pragma once

#include <memory>

#include "remote/connections.h"
#include "store/store.h"

namespace lockstep::remote {

class KeepAlives {
 public:
  explicit KeepAlives(Connections& connections);
  // Ends what runs, as Connections::close() does.
  ~KeepAlives();
  KeepAlives(const KeepAlives&) = delete;
  KeepAlives& operator=(const KeepAlives&) = delete;

  void renew(LeaseId lease, const store::CallOptions& options,
             store::Callback<store::LeaseKeepAliveResponse> done);

  class Core;

 private:
  std::shared_ptr<Core> core_;
};

}  // namespace lockstep::remote
