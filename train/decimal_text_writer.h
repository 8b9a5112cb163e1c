// SPDX-License-Identifier: Apache-2.0
// Raw bytes as the decimal text that fairseq's recipe begins with.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "absl/status/status.h"
#include "train/raw_corpus_writer.h"

namespace spanlm {

// Cuts the file `source` into consecutive parts and writes of each, for example
//
//   train.txt       "72 105 \n 33": every byte as its decimal value, a blank
//                   between two, and byte 10 as a line feed among the blanks;
//                   nothing behind the last
//   train.txt.raw   the part's bytes
//
// into `folder` (made if missing), as the published script for enwik8 does.
// Constant memory; each file appears under its name only when it is whole.
// `progress` hears how many bytes are done. Errors as of WriteRawCorpus.
absl::Status WriteDecimalText(const std::string& source,
                              const std::string& folder,
                              const CorpusSplit& split,
                              const std::function<void(int64_t)>& progress);

}  // namespace spanlm
