// Where the public names live: lockstep::v1, an inline namespace, so that programs write lockstep::Client and
// a later incompatible version can exist beside this one. The library itself is built with it not inline,
// because it has names of its own in lockstep.
#pragma once

#ifdef LOCKSTEP_IMPLEMENTATION
#define LOCKSTEP_INLINE
#else
#define LOCKSTEP_INLINE inline
#endif
