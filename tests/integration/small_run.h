// SPDX-License-Identifier: Apache-2.0
// Runs of `spanlm-train train` that take a millisecond an update.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/temp_dir.h"

namespace spanlm {

// A folder with a corpus of 6000 bytes, and runs over it.
class SmallRun {
 public:
  // Arguments of a run into that save folder: two rows in blocks of 16 by one
  // thread, a log line an update.
  std::vector<std::string> Arguments(const std::string& save_dir,
                                     int max_update) const;
  // The line of `inspect` that names a run's checkpoint_last.
  std::string Digest(const std::string& save_dir) const;
  int64_t SavedUpdate(const std::string& save_dir) const;
  std::string File(const std::string& name) const { return folder_.File(name); }

 private:
  const TempDir folder_;
  const std::string corpus_ = MakeCorpus();

  std::string MakeCorpus() const;
};

}  // namespace spanlm
