// The store's errors. Clients of etcd compare these texts, so they are exact; checked against a real etcd by
// tests/etcd.
#pragma once

#include "base/status.h"

namespace lockstep::store::errors {

// etcd's.
Status key_not_provided();
Status key_not_found();
Status value_provided();
Status lease_provided();
Status too_many_operations();
Status duplicate_key();
Status compacted();
Status future_revision();
Status no_space();
Status lease_not_found();
Status lease_exists();
Status lease_ttl_too_large();
Status request_too_large();
Status root_user_missing();
Status root_role_missing();
Status user_exists();
Status user_name_empty();  // also: nobody asks while authentication is on
Status user_not_found();
Status role_exists();
Status role_name_empty();
Status role_not_found();
Status role_not_granted();
Status permission_not_granted();
Status permission_denied();
Status authentication_failed();
Status authentication_not_enabled();
Status invalid_auth_token();
Status invalid_auth_management();
Status auth_revision_old();

// Ours, where etcd has no such thing.
Status key_too_large();
Status txn_too_deep();
Status answer_too_large();
Status too_many_keys_looked_at();
Status too_many_alarms();
Status request_id_invalid();
Status client_unknown();            // not registered, or evicted: never executed again
Status request_already_answered();  // below unanswered_first: its answer was given up
Status request_window_exceeded();
Status answer_not_kept();  // executed once; only its answer is lost
Status answer_withheld();  // executed once; whoever asks now may not
Status auth_name_too_large();
Status password_too_large();
Status too_many_users_and_roles();
Status too_many_roles();

}  // namespace lockstep::store::errors
