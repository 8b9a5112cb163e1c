// SPDX-License-Identifier: Apache-2.0
// Where a command reads from and writes to.
#pragma once

#include <istream>
#include <ostream>

namespace spanlm {

// The process's streams, or a test's; they outlive it. Results go to `out`,
// what is for people to `err`.
struct Console {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  bool err_is_terminal = false;
};

}  // namespace spanlm
