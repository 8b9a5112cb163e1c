// SPDX-License-Identifier: Apache-2.0
#include "train/commands/eval_lm.h"

#include <cmath>
#include <iostream>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/atomic_file.h"
#include "base/status_macros.h"
#include "engine/checkpoint/model_dir.h"
#include "engine/engine.h"
#include "engine/runtime/torch_guard.h"
#include "engine/symbol_map.h"
#include "nlohmann/json.hpp"
#include "train/corpus.h"
#include "train/evaluate_stream.h"
#include "train/exit_codes.h"
#include "train/inert_flags.h"
#include "train/model_overrides.h"
#include "train/model_source.h"
#include "train/model_text.h"
#include "train/progress_line.h"
#include "train/validate.h"

namespace spanlm {
namespace {

constexpr char kFullStream[] = "full-stream";
// A step's buffers grow with its symbols.
constexpr int64_t kMaxTokensPerSample = 1 << 16;
constexpr int64_t kMaxRows = 1 << 16;
constexpr int64_t kMaxThreads = 1024;

// What every protocol measures.
struct Result {
  double bits = 0;             // Σ −log2 P
  double bits_per_symbol = 0;  // as the protocol averages
  int64_t scored = 0;
  int64_t positions = 0;
  std::string accumulator;  // full-stream only
  absl::Duration elapsed;

  double seconds() const { return absl::ToDoubleSeconds(elapsed); }
};

absl::Status CheckProtocol(const EvalLmOptions& options) {
  for (const char* known : {"fairseq", "original", "kimiyoung", kFullStream}) {
    if (options.protocol == known) return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--protocol ", options.protocol,
                   ": want fairseq, original, kimiyoung or full-stream"));
}

absl::Status CheckRange(const char* flag, int64_t value, int64_t low,
                        int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat(
      "--%s %d: want at least %d and at most %d", flag, value, low, high));
}

absl::Status CheckOptions(const EvalLmOptions& options) {
  SPANLM_RETURN_IF_ERROR(CheckProtocol(options));
  SPANLM_RETURN_IF_ERROR(CheckFormat("weights", options.weights));
  SPANLM_RETURN_IF_ERROR(CheckFormat("kv", options.kv));
  SPANLM_RETURN_IF_ERROR(CheckRange(
      "tokens-per-sample", options.tokens_per_sample, 1, kMaxTokensPerSample));
  SPANLM_RETURN_IF_ERROR(
      CheckRange("batch-size", options.batch_size, 1, kMaxRows));
  SPANLM_RETURN_IF_ERROR(
      CheckRange("threads", options.threads, 0, kMaxThreads));
  if (options.task != "truncated_bptt_lm") {
    return absl::InvalidArgumentError(
        absl::StrCat("--task ", options.task, ": want truncated_bptt_lm"));
  }
  if (!options.output_losses.empty() && options.protocol == kFullStream) {
    return absl::InvalidArgumentError(
        "--output-losses belongs to the protocols that read blocks; "
        "`spanlm score --per-byte` gives a stream's");
  }
  if (!options.output_losses.empty() && options.gen_subsets.size() > 1) {
    return absl::InvalidArgumentError(
        "--output-losses: want one --gen-subset, one file holds one");
  }
  return absl::OkStatus();
}

absl::StatusOr<SymbolText> FindPart(const Corpus& corpus,
                                    const EvalLmOptions& options,
                                    const std::string& subset) {
  const absl::StatusOr<SymbolText> text = corpus.Part(subset);
  if (!text.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--gen-subset ", subset, ": ", text.status().message()));
  }
  if (text->size() > 0) return text;
  return absl::FailedPreconditionError(
      absl::StrCat(options.data, ": the ", subset, " part is empty"));
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

void PrintJson(const EvalLmOptions& options, const std::string& subset,
               const Result& result, std::ostream& out) {
  nlohmann::ordered_json json = {
      {"protocol", options.protocol},
      {"gen_subset", subset},
      {"bits_per_symbol", result.bits_per_symbol},
      {"total_bits", result.bits},
      {"scored", result.scored},
      {"positions", result.positions},
      {"perplexity", std::exp2(result.bits_per_symbol)},
      {"seconds", result.seconds()}};
  if (!result.accumulator.empty()) json["accumulator"] = result.accumulator;
  out << json.dump() << std::endl;
}

// What the protocol's code prints.
void PrintLines(const EvalLmOptions& options, const std::string& subset,
                const Result& result, std::ostream& out) {
  const double bits = result.bits_per_symbol;
  if (options.protocol == "original") {
    const char* name = subset == "valid" ? "val" : subset.c_str();
    out << absl::StreamFormat("%s: %.3fbpc\n", name, bits) << std::flush;
    return;
  }
  if (options.protocol == "kimiyoung") {
    out << absl::StreamFormat("| %s loss %.5f | %s bpc %9.5f\n", subset,
                              bits * M_LN2, subset, bits)
        << std::flush;
    return;
  }
  const double seconds = result.seconds();
  out << absl::StreamFormat("Evaluated %s tokens in %.1fs (%.2f tokens/s)\n",
                            WithCommas(result.positions), seconds,
                            seconds > 0 ? result.positions / seconds : 0.0)
      << absl::StreamFormat("Loss (base 2): %.4f, Perplexity: %.2f\n", bits,
                            std::exp2(bits))
      << std::flush;
}

// One stream through the serving form.
absl::StatusOr<Result> EvaluateFullStream(const EvalLmOptions& options,
                                          const std::string& model_dir,
                                          const SymbolText& text,
                                          const ModelFields& vocabulary) {
  EngineOptions engine_options;
  engine_options.threads = options.threads;
  engine_options.weights = options.weights;
  engine_options.kv = options.kv;
  engine_options.max_step_symbols =
      static_cast<int32_t>(options.tokens_per_sample);
  SPANLM_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                          CreateEngine(model_dir, engine_options));
  SPANLM_ASSIGN_OR_RETURN(const SymbolMap symbols,
                          SymbolMap::Create(engine->config()));
  const std::optional<std::string> bytes = BytesOf(text, vocabulary);
  if (!bytes.has_value()) {
    return absl::FailedPreconditionError(
        "the corpus holds symbols that stand for no byte; --protocol "
        "full-stream reads bytes");
  }
  const absl::Time start = absl::Now();
  ProgressLine line("eval-lm", text.size(), "bytes");
  const auto show = [&line](const StreamScore& score) {
    line.Update(score.byte_count,
                absl::StrFormat("%.4f bits per byte",
                                score.total.bits() /
                                    static_cast<double>(score.byte_count)));
  };
  SPANLM_ASSIGN_OR_RETURN(const StreamScore score,
                          EvaluateStream(*engine, symbols, *bytes,
                                         options.tokens_per_sample, show));
  Result result;
  result.bits = score.total.bits();
  result.scored = result.positions = score.byte_count;
  result.bits_per_symbol = result.bits / static_cast<double>(result.scored);
  result.accumulator = score.total.ToString();
  result.elapsed = absl::Now() - start;
  return result;
}

absl::Status WriteLosses(const std::string& path,
                         const std::vector<float>& losses) {
  return WriteFileAtomically(
      path, absl::string_view(reinterpret_cast<const char*>(losses.data()),
                              losses.size() * sizeof(float)));
}

// Rows of blocks through the block form, as the published codes read them.
absl::StatusOr<Result> EvaluateBlocks(const EvalLmOptions& options,
                                      const ByteModel& model,
                                      const std::vector<uint16_t>& symbols) {
  ValidateOptions validate;
  validate.rows = WholeBatch(
      options.protocol == "fairseq" ? RowLayout::kBlocks : RowLayout::kSlices,
      options.batch_size, options.tokens_per_sample);
  validate.whole_blocks_only = options.protocol == "original";
  std::vector<float> losses;
  if (!options.output_losses.empty()) {
    losses.assign(symbols.size(), std::numeric_limits<float>::quiet_NaN());
    validate.losses = &losses;
  }
  const SymbolText text(absl::MakeConstSpan(symbols));
  const absl::Time start = absl::Now();
  ProgressLine line("eval-lm", text.size(), "symbols");
  Validation sum;
  SPANLM_RETURN_IF_ERROR(GuardTorch("evaluating", [&] {
    sum = Validate(model, text, validate, nullptr,
                   [&line](const Validation& so_far) {
                     line.Update(so_far.positions,
                                 absl::StrFormat("%.4f bits per symbol",
                                                 so_far.bits_per_symbol()));
                     return true;
                   });
    return absl::OkStatus();
  }));
  if (sum.scored == 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        text.size(), " symbols in ", options.batch_size, " rows of blocks of ",
        options.tokens_per_sample, " leave nothing to score"));
  }
  Result result;
  result.bits = sum.bits;
  result.scored = sum.scored;
  result.positions = sum.positions;
  result.bits_per_symbol =
      validate.whole_blocks_only
          ? sum.block_mean_bits / static_cast<double>(sum.blocks)
          : sum.bits_per_symbol();
  result.elapsed = absl::Now() - start;
  if (options.output_losses.empty()) return result;
  SPANLM_RETURN_IF_ERROR(WriteLosses(options.output_losses, losses));
  return result;
}

void AddFlags(CLI::App* command, EvalLmOptions* options) {
  command
      ->add_option("data", options->data,
                   "a folder that `spanlm-train preprocess` wrote")
      ->type_name("DATA")
      ->required();
  command
      ->add_option("--path", options->path,
                   "a model directory or a foreign checkpoint")
      ->type_name("MODEL")
      ->required();
  command
      ->add_option("--gen-subset", options->gen_subsets,
                   "parts of the corpus, commas between them (default test)")
      ->delimiter(',');
  command
      ->add_option("--protocol", options->protocol,
                   "fairseq: blocks' last predictions unscored; original: mean "
                   "of whole blocks; kimiyoung: every position; full-stream: "
                   "every byte once, one stream, through the serving form")
      ->capture_default_str();
  command->add_option("--task", options->task, "truncated_bptt_lm");
  command
      ->add_option("--batch-size", options->batch_size,
                   "rows read side by side; without effect on one stream")
      ->capture_default_str();
  command
      ->add_option("--tokens-per-sample", options->tokens_per_sample,
                   "symbols of a block; full-stream: bytes a step, which "
                   "changes no bit of the result")
      ->capture_default_str();
  command
      ->add_option("--model-overrides", options->model_overrides,
                   "settings to replace, a Python dict literal")
      ->type_name("DICT");
  command
      ->add_option("--output-losses", options->output_losses,
                   "writes -ln P of every symbol of the part, float32 "
                   "little-endian, NaN where it is not scored")
      ->type_name("FILE");
  command->add_option("--weights", options->weights, "fp32, bf16 or int8");
  command->add_option("--kv", options->kv, "fp32, bf16 or int8");
  command->add_option("--threads", options->threads,
                      "0: one for each core allowed");
  command->add_flag("--json", options->json,
                    "print one JSON object for each part");
  AddInertFlags(command,
                {{"--user-dir", "both architectures are built in"},
                 {"--required-batch-size-multiple", "batches are whole"},
                 {"--no-progress-bar",
                  "there is none where output is no terminal", false}},
                &options->without_effect);
}

}  // namespace

void AddEvalLmCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<EvalLmOptions>();
  CLI::App* command =
      app.add_subcommand("eval-lm", "Evaluates a model in bits per byte.");
  AddFlags(command, options.get());
  command->callback([options, exit_code] {
    ReportInertFlags(options->without_effect);
    *exit_code = Report(RunEvalLm(*options, std::cout));
  });
}

absl::Status RunEvalLm(const EvalLmOptions& options, std::ostream& out) {
  SPANLM_RETURN_IF_ERROR(CheckOptions(options));
  SPANLM_ASSIGN_OR_RETURN(const auto overrides,
                          ParseModelOverrides(options.model_overrides));
  SPANLM_ASSIGN_OR_RETURN(const Corpus corpus, Corpus::Open(options.data));
  ModelFields vocabulary;
  SPANLM_RETURN_IF_ERROR(corpus.SetVocabulary(&vocabulary));
  SPANLM_ASSIGN_OR_RETURN(
      const ModelSource source,
      FindModel(options.path, overrides, corpus.dictionary_path()));
  std::unique_ptr<ByteModel> model;
  if (options.protocol != kFullStream) {
    UseThreads(options.threads);
    SPANLM_ASSIGN_OR_RETURN(const ModelDir dir,
                            ModelDir::Open(source.model_dir));
    SPANLM_RETURN_IF_ERROR(
        GuardTorch("loading the model", [&]() -> absl::Status {
          SPANLM_ASSIGN_OR_RETURN(model, LoadByteModel(dir.config(), dir));
          return absl::OkStatus();
        }));
    if (options.protocol == "fairseq" && !options.json) {
      out << "num. model params: " << WithCommas(model->parameter_count())
          << "\n";
    }
  }
  for (const std::string& subset : options.gen_subsets) {
    SPANLM_ASSIGN_OR_RETURN(const SymbolText text,
                            FindPart(corpus, options, subset));
    Result result;
    if (options.protocol == kFullStream) {
      SPANLM_ASSIGN_OR_RETURN(
          result,
          EvaluateFullStream(options, source.model_dir, text, vocabulary));
    } else {
      SPANLM_ASSIGN_OR_RETURN(const std::vector<uint16_t> symbols,
                              SymbolsOf(text, vocabulary, model->config(),
                                        options.protocol == "kimiyoung"));
      SPANLM_ASSIGN_OR_RETURN(result, EvaluateBlocks(options, *model, symbols));
    }
    if (options.json) {
      PrintJson(options, subset, result, out);
    } else {
      PrintLines(options, subset, result, out);
    }
  }
  return absl::OkStatus();
}

}  // namespace spanlm
