// SPDX-License-Identifier: Apache-2.0
// spanlm-train preprocess: text files to fairseq's binary data directory, or
// raw bytes to a raw corpus directory or to decimal text files.
#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace CLI {
class App;
}  // namespace CLI

namespace spanlm {

// The flags of the same names.
struct PreprocessOptions {
  std::string destdir;

  std::string raw;
  std::string split;  // "TRAIN,VALID,TEST" in bytes; empty: 90, 5, 5 %
  bool as_decimal = false;

  bool only_source = false;
  std::string trainpref;
  std::string validpref;  // several with commas between
  std::string testpref;
  std::string srcdict;
  bool joined_dictionary = false;  // of one language: no difference
  int64_t thresholdsrc = 0;
  int64_t nwordssrc = -1;
  int64_t padding_factor = 8;
  int workers = 0;  // threads; 0: as many as CPUs, which is also the most
};

// Registers the subcommand; when chosen it runs and sets `*exit_code`, which
// must outlive `app`.
void AddPreprocessCommand(CLI::App& app, int* exit_code);

// Says on stderr what it has made. kInvalidArgument: flags that do not go
// together or are out of range; kUnimplemented: text without --only-source;
// and the errors of ParseSplit, WriteRawCorpus, WriteDecimalText and
// WriteDatabin.
absl::Status RunPreprocess(const PreprocessOptions& options);

// A file of this size is taken for enwik8.
inline constexpr int64_t kEnwik8Bytes = 100'000'000;

// What to say of such a file, whose SHA-1 in lower-case hex is `sha1`.
std::string DescribeEnwik8(absl::string_view path, absl::string_view sha1);

}  // namespace spanlm
