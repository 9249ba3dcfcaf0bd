// Who asks. Commands carry it, so that every member can decide alike while applying (I12).
//
// A user is named by a credential: the auth revision at which the user was made or its password last changed.
// Those numbers are never used twice, so a principal dies with the user, with the password, and stays dead
// when a user of the same name is made later. It fits a register: requests carry it at no cost.
#pragma once

#include <cstdint>

#include "base/assert.h"
#include "base/strong_integer.h"

namespace lockstep::store {

using AuthRevision = StrongInteger<struct AuthRevisionTag, std::uint64_t>;  // of users and roles; starts at 1
using CredentialId = StrongInteger<struct CredentialIdTag, std::uint64_t>;  // at least 2
using UserId =
    StrongInteger<struct UserIdTag, std::uint64_t>;  // the auth revision that made the user; zero: none

class Principal {
 public:
  constexpr Principal() = default;  // nobody
  static constexpr Principal of(CredentialId credential) {
    LS_MUST(credential.value() >= first_credential);
    return Principal(credential.value());
  }
  // The cluster's own machinery (quota alarms, background work): may everything. Never given to a client.
  static constexpr Principal cluster() { return Principal(cluster_number); }
  // As commands carry it: zero is nobody, 1 the cluster.
  static constexpr Principal from_number(std::uint64_t number) { return Principal(number); }

  [[nodiscard]] constexpr bool is_nobody() const { return number_ == 0; }
  [[nodiscard]] constexpr bool is_cluster() const { return number_ == cluster_number; }
  // Requires neither nobody nor the cluster.
  [[nodiscard]] constexpr CredentialId credential() const {
    LS_MUST(number_ >= first_credential);
    return CredentialId(number_);
  }
  [[nodiscard]] constexpr std::uint64_t number() const { return number_; }
  friend constexpr auto operator<=>(const Principal&, const Principal&) = default;

 private:
  static constexpr std::uint64_t cluster_number = 1;
  static constexpr std::uint64_t first_credential = 2;
  explicit constexpr Principal(std::uint64_t number) : number_(number) {}

  std::uint64_t number_ = 0;
};

}  // namespace lockstep::store
