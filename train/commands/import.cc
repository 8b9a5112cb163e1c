// SPDX-License-Identifier: Apache-2.0
#include "train/commands/import.h"

#include <iostream>
#include <map>
#include <memory>
#include <utility>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "engine/checkpoint/import/import.h"
#include "engine/checkpoint/model_dir.h"
#include "train/exit_codes.h"
#include "train/model_facts.h"
#include "train/model_source.h"
#include "train/tensor_dtype.h"

namespace spanlm {
namespace {

absl::StatusOr<std::map<std::string, std::string>> ParseSettings(
    const std::vector<std::string>& settings) {
  std::map<std::string, std::string> result;
  for (const std::string& setting : settings) {
    const size_t equals = setting.find('=');
    if (equals == 0 || equals == std::string::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("--set ", setting, ": want key=value"));
    }
    const std::string key = setting.substr(0, equals);
    if (!result.emplace(key, setting.substr(equals + 1)).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("--set ", setting, ": ", key, " comes twice"));
    }
  }
  return result;
}

// What the file did not hold, so that nobody takes a guess for a fact.
std::string NotesOn(const ModelConfig& config, bool is_ramp_assumed) {
  std::string notes;
  if (is_ramp_assumed) {
    absl::StrAppend(&notes, "note: the file does not hold the ramp; taken as ",
                    config->ramp,
                    ", as in every release (--set ramp=… for another)\n");
  }
  if (config->architecture == Architecture::kTransformerXl &&
      !config->same_length) {
    absl::StrAppend(
        &notes,
        "note: the mask depends on the block (same_length is false); to serve "
        "it, import with --set same_length=true --set mem_len=… --set "
        "clamp_len=…\n");
  }
  if (!config.knows_bytes()) {
    absl::StrAppend(
        &notes,
        "note: the symbols' bytes are not known, so this is a token model: "
        "score-tokens and inspect take it, serving and eval-lm do not (--dict "
        "or --vocab-from tells them)\n");
  }
  return notes;
}

}  // namespace

void AddImportCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<ImportCommandOptions>();
  CLI::App* command = app.add_subcommand(
      "import", "Turns a foreign checkpoint into a model directory.");
  command
      ->add_option("source", options->source,
                   "a checkpoint of the published Adaptive-Span code, fairseq, "
                   "kimiyoung's Transformer-XL or Hugging Face, or a model "
                   "directory of ours")
      ->type_name("SRC")
      ->required();
  command
      ->add_option("destination", options->destination,
                   "the model directory to write")
      ->type_name("DST")
      ->required();
  command->add_option("--dict", options->dictionary, "fairseq's dict.txt")
      ->type_name("FILE");
  command
      ->add_option("--vocab-from", options->vocabulary_text,
                   "the training text that fixed the symbols' order (original "
                   "Adaptive-Span)")
      ->type_name("FILE");
  command
      ->add_option("--set", options->settings,
                   "a field of config.json to set (repeatable)")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command
      ->add_option("--dtype", options->dtype,
                   "fp32, bf16 or fp16: of the tensors written (default as "
                   "stored)")
      ->type_name("FORMAT");
  command->callback([options, exit_code] {
    *exit_code = Report(RunImport(*options, std::cout));
  });
}

absl::Status RunImport(const ImportCommandOptions& options, std::ostream& out) {
  ImportOptions import;
  import.dictionary_path = options.dictionary;
  import.vocabulary_text_path = options.vocabulary_text;
  SPANLM_ASSIGN_OR_RETURN(import.settings, ParseSettings(options.settings));
  SPANLM_ASSIGN_OR_RETURN(
      ModelContents contents,
      ImportModel(ResolveModelPath(options.source), import));
  if (!options.dtype.empty()) {
    SPANLM_RETURN_IF_ERROR(ConvertParameters(options.dtype, &contents));
  }
  const bool is_ramp_assumed =
      contents.is_ramp_assumed && import.settings.count("ramp") == 0;
  SPANLM_RETURN_IF_ERROR(
      WriteModelDir(options.destination, std::move(contents)));

  SPANLM_ASSIGN_OR_RETURN(const ModelDir model,
                          ModelDir::Open(options.destination));
  SPANLM_ASSIGN_OR_RETURN(const ModelFacts facts,
                          FactsOf(model.config(), model));
  out << absl::StreamFormat(
             "%s: %s model of family %s, %d parameters, digest %s\n",
             options.destination, Name(model.config()->architecture),
             Name(model.config()->family), model.parameter_count(),
             model.digest())
      << FormatSpans(facts) << NotesOn(model.config(), is_ramp_assumed);
  return absl::OkStatus();
}

}  // namespace spanlm
