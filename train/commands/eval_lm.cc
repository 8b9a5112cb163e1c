// SPDX-License-Identifier: Apache-2.0
#include "train/commands/eval_lm.h"

#include <cmath>
#include <filesystem>
#include <iostream>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/status_macros.h"
#include "engine/engine.h"
#include "engine/symbol_map.h"
#include "nlohmann/json.hpp"
#include "train/corpus.h"
#include "train/evaluate_stream.h"
#include "train/exit_codes.h"
#include "train/model_overrides.h"
#include "train/model_source.h"
#include "train/progress_line.h"

namespace spanlm {
namespace {

constexpr char kFullStream[] = "full-stream";
// A step's buffers grow with its symbols.
constexpr int64_t kMaxTokensPerSample = 1 << 16;

absl::Status CheckProtocol(const std::string& protocol) {
  if (protocol == kFullStream) return absl::OkStatus();
  if (protocol == "fairseq" || protocol == "original" ||
      protocol == "kimiyoung") {
    return absl::UnimplementedError(
        absl::StrCat("--protocol ", protocol,
                     " is not built yet (fairseq is the default); say "
                     "--protocol full-stream"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--protocol ", protocol,
                   ": want fairseq, original, kimiyoung or full-stream"));
}

absl::Status CheckRange(const char* flag, int64_t value, int64_t low,
                        int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat(
      "--%s %d: want at least %d and at most %d", flag, value, low, high));
}

absl::Status CheckOptions(const EvalLmOptions& options) {
  SPANLM_RETURN_IF_ERROR(CheckProtocol(options.protocol));
  SPANLM_RETURN_IF_ERROR(CheckFormat("weights", options.weights));
  SPANLM_RETURN_IF_ERROR(CheckFormat("kv", options.kv));
  SPANLM_RETURN_IF_ERROR(CheckRange(
      "tokens-per-sample", options.tokens_per_sample, 1, kMaxTokensPerSample));
  if (options.gen_subset != "train" && options.gen_subset != "valid" &&
      options.gen_subset != "test") {
    return absl::InvalidArgumentError(absl::StrCat(
        "--gen-subset ", options.gen_subset, ": want train, valid or test"));
  }
  if (options.task != "truncated_bptt_lm") {
    return absl::InvalidArgumentError(
        absl::StrCat("--task ", options.task, ": want truncated_bptt_lm"));
  }
  return absl::OkStatus();
}

absl::StatusOr<Corpus> OpenCorpus(const std::string& data) {
  if (std::filesystem::exists(data + "/dict.txt")) {
    return absl::UnimplementedError(absl::StrCat(
        data,
        ": a binary data directory; so far eval-lm reads what `preprocess "
        "--raw` writes"));
  }
  return Corpus::Open(data);
}

// A part of the corpus, which lends it.
absl::StatusOr<absl::string_view> BytesOf(const Corpus& corpus,
                                          const EvalLmOptions& options) {
  const absl::Span<const uint8_t> bytes =
      options.gen_subset == "train"   ? corpus.train()
      : options.gen_subset == "valid" ? corpus.valid()
                                      : corpus.test();
  if (bytes.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        options.data, ": the ", options.gen_subset, " part holds no byte"));
  }
  return absl::string_view(reinterpret_cast<const char*>(bytes.data()),
                           bytes.size());
}

// 12345678 as 12,345,678.
std::string WithCommas(int64_t number) {
  std::string digits = absl::StrCat(number);
  for (auto place = static_cast<ptrdiff_t>(digits.size()) - 3; place > 0;
       place -= 3) {
    digits.insert(static_cast<size_t>(place), ",");
  }
  return digits;
}

void Print(const EvalLmOptions& options, const StreamScore& score,
           absl::Duration elapsed, std::ostream& out) {
  const auto count = static_cast<double>(score.byte_count);
  const double bits_per_byte = score.total.bits() / count;
  const double perplexity = std::exp2(bits_per_byte);
  const double seconds = absl::ToDoubleSeconds(elapsed);
  if (options.json) {
    const nlohmann::ordered_json result = {
        {"protocol", options.protocol},
        {"bits_per_symbol", bits_per_byte},
        {"total_bits", score.total.bits()},
        {"accumulator", score.total.ToString()},
        {"scored", score.byte_count},
        {"positions", score.byte_count},
        {"perplexity", perplexity},
        {"seconds", seconds}};
    out << result.dump() << std::endl;
    return;
  }
  out << absl::StreamFormat("Evaluated %s tokens in %.1fs (%.2f tokens/s)\n",
                            WithCommas(score.byte_count), seconds,
                            seconds > 0 ? count / seconds : 0.0)
      << absl::StreamFormat("Loss (base 2): %.4f, Perplexity: %.2f\n",
                            bits_per_byte, perplexity)
      << std::flush;
}

}  // namespace

void AddEvalLmCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<EvalLmOptions>();
  CLI::App* command =
      app.add_subcommand("eval-lm", "Evaluates a model in bits per byte.");
  command->add_option("data", options->data, "a raw corpus directory")
      ->type_name("DATA")
      ->required();
  command
      ->add_option("--path", options->path,
                   "a model directory or a foreign checkpoint")
      ->type_name("MODEL")
      ->required();
  command->add_option("--gen-subset", options->gen_subset,
                      "train, valid or test (default test)");
  command->add_option("--protocol", options->protocol,
                      "so far full-stream only: every byte once, one stream, "
                      "through the serving form");
  command->add_option("--task", options->task, "truncated_bptt_lm");
  command->add_option("--batch-size", options->batch_size,
                      "without effect on one stream");
  command->add_option("--tokens-per-sample", options->tokens_per_sample,
                      "bytes a step; changes no bit of the result");
  command
      ->add_option("--model-overrides", options->model_overrides,
                   "settings to replace, a Python dict literal")
      ->type_name("DICT");
  command->add_option("--weights", options->weights, "fp32, bf16 or int8");
  command->add_option("--kv", options->kv, "fp32, bf16 or int8");
  command->add_option("--threads", options->threads,
                      "0: one for each core allowed");
  command->add_flag("--json", options->json, "print one JSON object");
  command->callback([options, exit_code] {
    *exit_code = Report(RunEvalLm(*options, std::cout));
  });
}

absl::Status RunEvalLm(const EvalLmOptions& options, std::ostream& out) {
  SPANLM_RETURN_IF_ERROR(CheckOptions(options));
  SPANLM_ASSIGN_OR_RETURN(const auto overrides,
                          ParseModelOverrides(options.model_overrides));
  SPANLM_ASSIGN_OR_RETURN(const Corpus corpus, OpenCorpus(options.data));
  SPANLM_ASSIGN_OR_RETURN(const absl::string_view bytes,
                          BytesOf(corpus, options));
  SPANLM_ASSIGN_OR_RETURN(const ModelSource source,
                          FindModel(options.path, overrides));
  EngineOptions engine_options;
  engine_options.threads = options.threads;
  engine_options.weights = options.weights;
  engine_options.kv = options.kv;
  engine_options.max_step_symbols =
      static_cast<int32_t>(options.tokens_per_sample);
  SPANLM_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                          CreateEngine(source.model_dir, engine_options));
  SPANLM_ASSIGN_OR_RETURN(const SymbolMap symbols,
                          SymbolMap::Create(engine->config()));

  const absl::Time start = absl::Now();
  ProgressLine line("eval-lm", static_cast<int64_t>(bytes.size()), "bytes");
  const auto show = [&line](const StreamScore& score) {
    line.Update(score.byte_count,
                absl::StrFormat("%.4f bits per byte",
                                score.total.bits() /
                                    static_cast<double>(score.byte_count)));
  };
  SPANLM_ASSIGN_OR_RETURN(
      const StreamScore score,
      EvaluateStream(*engine, symbols, bytes, options.tokens_per_sample, show));
  Print(options, score, absl::Now() - start, out);
  return absl::OkStatus();
}

}  // namespace spanlm
