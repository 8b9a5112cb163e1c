// SPDX-License-Identifier: Apache-2.0
// Text files to fairseq's binary data directory, byte for byte what
// `fairseq-preprocess --only-source` writes:
//
//   dict.txt   the dictionary of the training text
//   train.{bin,idx}, valid.{bin,idx}, valid1.{bin,idx}, …, test.{bin,idx}, …
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "train/fairseq_dictionary.h"
#include "train/text_chunks.h"

namespace spanlm {

struct DatabinOptions {
  std::string train;               // a text file; empty: none
  std::vector<std::string> valid;  // text files, any number
  std::vector<std::string> test;
  std::string folder;      // to write, made if missing
  std::string dictionary;  // a dict.txt to take; empty: make it from `train`
  DictionaryOptions dictionary_options;  // of the one made
  TextChunkOptions chunks;               // none changes a byte of the result
};

// What became of one text file.
struct DatabinPart {
  std::string source;
  int64_t lines = 0;
  int64_t tokens = 0;   // </s> of each line included
  int64_t unknown = 0;  // words that are not in the dictionary
};

struct DatabinSummary {
  int32_t symbols = 0;  // of the dictionary, specials and fillers included
  std::vector<DatabinPart> parts;  // train, valid, …, test, …
};

// Bytes of text to read, those of `train` twice where the dictionary is made
// from them. kNotFound names a missing file.
absl::StatusOr<int64_t> DatabinWork(const DatabinOptions& options);

// Memory depends on threads and the number of different words, not on the
// texts' sizes. `progress` hears how many bytes of DatabinWork are done; one
// thread at a time calls it. Each file appears under its name only when it is
// whole, a part's index last.
//
// kInvalidArgument: neither `train` nor `dictionary`; kFailedPrecondition: the
// folder holds another dictionary, for which the parts beside it were made (as
// fairseq, it is not replaced); kOutOfRange: too many symbols, or a line of
// 2^31 words; and the errors of ReadTextChunks and FairseqDictionary::Read.
absl::StatusOr<DatabinSummary> WriteDatabin(
    const DatabinOptions& options,
    const std::function<void(int64_t)>& progress);

}  // namespace spanlm
