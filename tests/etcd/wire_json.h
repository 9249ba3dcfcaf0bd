// The JSON of etcd's gateway (protobuf's mapping): requests, and our answers in the same form.
#pragma once

#include <string>

#include <boost/json/value.hpp>

#include "step.h"
#include "store/result.h"

namespace lockstep::etcd_test {

struct HttpRequest {
  std::string path;
  boost::json::value body;
};
HttpRequest to_http(const Step& step);

// Zero values are left out, as protobuf does; of headers only the revision is given.
boost::json::value to_json(const Status& error);
boost::json::value to_json(const store::RangeResponse& response);
boost::json::value to_json(const store::Response& response);
boost::json::value to_json(const store::LeaseKeepAliveResponse& response);
boost::json::value to_json(const store::LeaseTimeToLiveResponse& response);
boost::json::value to_json(const store::LeaseLeasesResponse& response);

}  // namespace lockstep::etcd_test
