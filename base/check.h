// SPDX-License-Identifier: Apache-2.0
// SPANLM_CHECK: a broken invariant of our own ends the process. Never used on
// anything a file, flag or client can influence; those get an absl::Status.
#pragma once

#include <cstdio>
#include <cstdlib>

#define SPANLM_CHECK(condition)                                       \
  do {                                                                \
    if (!(condition)) {                                               \
      std::fprintf(stderr, "%s:%d: invariant broken: %s\n", __FILE__, \
                   __LINE__, #condition);                             \
      std::abort();                                                   \
    }                                                                 \
  } while (false)
