// SPDX-License-Identifier: Apache-2.0
#include "train/commands/preprocess.h"

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>
#include <system_error>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "engine/checkpoint/digest.h"
#include "engine/checkpoint/mapped_file.h"
#include "engine/step/worker_team.h"
#include "train/databin_writer.h"
#include "train/decimal_text_writer.h"
#include "train/exit_codes.h"
#include "train/progress_line.h"
#include "train/raw_corpus_writer.h"

namespace spanlm {
namespace {

constexpr absl::string_view kEnwik8Sha1 =
    "57b8363b814821dc9d47aa4d41f58733519076b2";
constexpr int kMaxWorkers = 1 << 16;

void AddRawOptions(CLI::App* command, PreprocessOptions* options) {
  command->add_option("--raw", options->raw, "the file to read, raw bytes")
      ->type_name("FILE");
  command
      ->add_option("--split", options->split,
                   "with --raw: sizes of the parts in bytes, 0 allowed "
                   "(default 90 %, 5 %, 5 %)")
      ->type_name("TRAIN,VALID,TEST");
  command->add_flag("--as-decimal", options->as_decimal,
                    "with --raw: write train.txt, valid.txt and test.txt, "
                    "bytes as decimal numbers, instead of a corpus");
}

void AddTextOptions(CLI::App* command, PreprocessOptions* options) {
  command->add_flag("--only-source", options->only_source,
                    "the texts have no translations: needed without --raw");
  command
      ->add_option("--trainpref", options->trainpref,
                   "the training text, which makes the dictionary")
      ->type_name("FILE");
  command
      ->add_option("--validpref", options->validpref,
                   "validation texts, with commas between: valid, valid1, ...")
      ->type_name("FILE,...");
  command
      ->add_option("--testpref", options->testpref,
                   "test texts, with commas between: test, test1, ...")
      ->type_name("FILE,...");
  command
      ->add_option("--srcdict", options->srcdict,
                   "take this dict.txt instead of making one")
      ->type_name("FILE");
  command->add_flag("--joined-dictionary", options->joined_dictionary,
                    "one dictionary for all languages: no difference here");
  command->add_option("--thresholdsrc", options->thresholdsrc,
                      "leave out words that occur less often (default 0)");
  command->add_option("--nwordssrc", options->nwordssrc,
                      "most symbols of the dictionary, the 4 special ones "
                      "included (default -1: any number)");
  command->add_option("--padding-factor", options->padding_factor,
                      "fill the dictionary up to a multiple (default 8)");
  command->add_option("--workers", options->workers,
                      "threads, no more than CPUs (default 0: as many); the "
                      "files do not depend on it");
}

absl::Status CheckTogether(bool is_set, const char* flag, const char* needed) {
  if (!is_set) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(flag, " goes with ", needed, " only"));
}

absl::Status CheckRaw(const PreprocessOptions& options) {
  const PreprocessOptions defaults;
  for (const auto& [is_set, flag] :
       {std::pair(options.only_source, "--only-source"),
        {options.joined_dictionary, "--joined-dictionary"},
        {options.thresholdsrc != defaults.thresholdsrc, "--thresholdsrc"},
        {options.nwordssrc != defaults.nwordssrc, "--nwordssrc"},
        {options.padding_factor != defaults.padding_factor, "--padding-factor"},
        {options.workers != defaults.workers, "--workers"}}) {
    SPANLM_RETURN_IF_ERROR(CheckTogether(is_set, flag, "--trainpref"));
  }
  for (const auto& [value, flag] :
       {std::pair(&options.trainpref, "--trainpref"),
        std::pair(&options.validpref, "--validpref"),
        std::pair(&options.testpref, "--testpref"),
        std::pair(&options.srcdict, "--srcdict")}) {
    if (value->empty()) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("--raw and ", flag, " exclude each other"));
  }
  return absl::OkStatus();
}

absl::Status CheckText(const PreprocessOptions& options) {
  SPANLM_RETURN_IF_ERROR(
      CheckTogether(options.as_decimal, "--as-decimal", "--raw"));
  SPANLM_RETURN_IF_ERROR(
      CheckTogether(!options.split.empty(), "--split", "--raw"));
  if (options.trainpref.empty() && options.validpref.empty() &&
      options.testpref.empty()) {
    return absl::InvalidArgumentError(
        "no text: want --raw FILE, or --only-source --trainpref FILE");
  }
  if (!options.only_source) {
    return absl::UnimplementedError(
        "--only-source is missing: texts with translations are not "
        "supported");
  }
  if (options.workers < 0 || options.workers > kMaxWorkers) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--workers %d: want at least 0 and at most %d",
                        options.workers, kMaxWorkers));
  }
  if (options.padding_factor < 0 ||
      options.padding_factor > kMaxFairseqSymbols) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--padding-factor %d: want at least 0 and at most %d",
                        options.padding_factor, kMaxFairseqSymbols));
  }
  return absl::OkStatus();
}

// A folder holds one corpus (Corpus::Open); `file` is the other kind's.
absl::Status CheckFolder(const std::string& folder, const std::string& file) {
  std::error_code ignored;
  if (!std::filesystem::exists(std::filesystem::path(folder) / file, ignored)) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(
      absl::StrCat("--destdir ", folder, ": holds a corpus of the other kind, ",
                   file, "; give another folder"));
}

absl::Status RunRaw(const PreprocessOptions& options) {
  SPANLM_ASSIGN_OR_RETURN(const int64_t size, FileSize(options.raw));
  CorpusSplit split = DefaultSplit(size);
  if (!options.split.empty()) {
    SPANLM_ASSIGN_OR_RETURN(split, ParseSplit(options.split));
  }
  {
    ProgressLine line("preprocess", split.total(), "bytes");
    const auto progress = [&line](int64_t done) { line.Update(done); };
    SPANLM_RETURN_IF_ERROR(
        options.as_decimal
            ? WriteDecimalText(options.raw, options.destdir, split, progress)
            : WriteRawCorpus(options.raw, options.destdir, split, progress));
  }
  std::cerr << absl::StreamFormat(
      "%s: train %d, valid %d, test %d bytes; %d of %s left out\n",
      options.destdir, split.train, split.valid, split.test,
      size - split.total(), options.raw);
  if (size == kEnwik8Bytes) {
    SPANLM_ASSIGN_OR_RETURN(const MappedFile file,
                            MappedFile::Open(options.raw));
    std::cerr << DescribeEnwik8(options.raw, Sha1Hex(file.bytes())) << "\n";
  }
  return absl::OkStatus();
}

std::vector<std::string> Paths(const std::string& with_commas) {
  if (with_commas.empty()) return {};
  return absl::StrSplit(with_commas, ',');
}

absl::Status RunText(const PreprocessOptions& options) {
  DatabinOptions job;
  job.train = options.trainpref;
  job.valid = Paths(options.validpref);
  job.test = Paths(options.testpref);
  job.folder = options.destdir;
  job.dictionary = options.srcdict;
  job.dictionary_options.threshold = options.thresholdsrc;
  job.dictionary_options.words = options.nwordssrc;
  job.dictionary_options.padding_factor = options.padding_factor;
  const int most = AllowedCpuCount();
  job.chunks.threads =
      options.workers == 0 ? most : std::min(options.workers, most);
  SPANLM_ASSIGN_OR_RETURN(const int64_t work, DatabinWork(job));
  DatabinSummary summary;
  {
    ProgressLine line("preprocess", work, "bytes");
    SPANLM_ASSIGN_OR_RETURN(summary, WriteDatabin(job, [&line](int64_t done) {
                              line.Update(done);
                            }));
  }
  const std::filesystem::path folder(options.destdir);
  std::cerr << absl::StreamFormat(
      "%s: %d symbols\n", (folder / "dict.txt").string(), summary.symbols);
  for (const DatabinPart& part : summary.parts) {
    std::cerr << absl::StreamFormat(
        "%s: %d lines, %d tokens, %d words replaced by <unk>\n", part.source,
        part.lines, part.tokens, part.unknown);
  }
  return absl::OkStatus();
}

}  // namespace

void AddPreprocessCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<PreprocessOptions>();
  CLI::App* command = app.add_subcommand(
      "preprocess",
      "Makes a corpus: of texts fairseq's binary data directory, of raw bytes "
      "a raw corpus directory.");
  command->add_option("--destdir", options->destdir, "the folder to write")
      ->type_name("DIR")
      ->required();
  AddTextOptions(command, options.get());
  AddRawOptions(command, options.get());
  command->callback(
      [options, exit_code] { *exit_code = Report(RunPreprocess(*options)); });
}

absl::Status RunPreprocess(const PreprocessOptions& options) {
  if (options.raw.empty()) {
    SPANLM_RETURN_IF_ERROR(CheckText(options));
    SPANLM_RETURN_IF_ERROR(CheckFolder(options.destdir, "corpus.json"));
    return RunText(options);
  }
  SPANLM_RETURN_IF_ERROR(CheckRaw(options));
  if (!options.as_decimal) {
    SPANLM_RETURN_IF_ERROR(CheckFolder(options.destdir, "dict.txt"));
  }
  return RunRaw(options);
}

std::string DescribeEnwik8(absl::string_view path, absl::string_view sha1) {
  if (sha1 == kEnwik8Sha1) {
    return absl::StrCat(path, ": SHA-1 ", sha1, ", enwik8 as published");
  }
  return absl::StrCat(path, ": warning: has enwik8's size, but SHA-1 ", sha1,
                      ", not enwik8's ", kEnwik8Sha1,
                      ": no figure on it compares with one on enwik8");
}

}  // namespace spanlm
