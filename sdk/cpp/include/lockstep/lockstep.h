// Everything but lockstep/testing.h.
#pragma once

#include "lockstep/call_options.h"
#include "lockstep/client.h"
#include "lockstep/counter.h"
#include "lockstep/executor.h"
#include "lockstep/guard.h"
#include "lockstep/http_idempotency.h"
#include "lockstep/idempotency.h"
#include "lockstep/ids.h"
#include "lockstep/kv.h"
#include "lockstep/limiter.h"
#include "lockstep/lock.h"
#include "lockstep/operation.h"
#include "lockstep/outcome.h"
#include "lockstep/semaphore.h"
#include "lockstep/session.h"
#include "lockstep/task.h"
