// SPDX-License-Identifier: Apache-2.0
// Where the reference vectors are.
#pragma once

#include <cstdlib>
#include <string>

namespace spanlm {

// A file of the set in $SPANLM_GOLDEN_DIR; where that is unset or empty, of
// the choice in tests/testdata/golden.
inline std::string GoldenPath(const std::string& name) {
  const char* variable = std::getenv("SPANLM_GOLDEN_DIR");
  const std::string folder = variable == nullptr ? "" : variable;
  return (folder.empty() ? SPANLM_TESTDATA_DIR "/golden" : folder) + "/" + name;
}

}  // namespace spanlm
