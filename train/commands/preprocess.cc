// SPDX-License-Identifier: Apache-2.0
#include "train/commands/preprocess.h"

#include <iostream>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "train/exit_codes.h"
#include "train/progress_line.h"
#include "train/raw_corpus_writer.h"

namespace spanlm {

void AddPreprocessCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<PreprocessOptions>();
  CLI::App* command = app.add_subcommand(
      "preprocess", "Cuts raw bytes into train, valid and test parts.");
  command->add_option("--raw", options->raw, "the file to read, raw bytes")
      ->type_name("FILE")
      ->required();
  command->add_option("--destdir", options->destdir, "the folder to write")
      ->type_name("DIR")
      ->required();
  command
      ->add_option("--split", options->split,
                   "sizes of the parts in bytes, 0 allowed "
                   "(default 90 %, 5 %, 5 %)")
      ->type_name("TRAIN,VALID,TEST");
  command->callback(
      [options, exit_code] { *exit_code = Report(RunPreprocess(*options)); });
}

absl::Status RunPreprocess(const PreprocessOptions& options) {
  SPANLM_ASSIGN_OR_RETURN(const int64_t size, FileSize(options.raw));
  CorpusSplit split = DefaultSplit(size);
  if (!options.split.empty()) {
    SPANLM_ASSIGN_OR_RETURN(split, ParseSplit(options.split));
  }
  {
    ProgressLine line("preprocess", split.total(), "bytes");
    SPANLM_RETURN_IF_ERROR(
        WriteRawCorpus(options.raw, options.destdir, split,
                       [&line](int64_t done) { line.Update(done); }));
  }
  std::cerr << absl::StreamFormat(
      "%s: train %d, valid %d, test %d bytes; %d of %s left out\n",
      options.destdir, split.train, split.valid, split.test,
      size - split.total(), options.raw);
  return absl::OkStatus();
}

}  // namespace spanlm
