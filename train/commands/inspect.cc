// SPDX-License-Identifier: Apache-2.0
#include "train/commands/inspect.h"

#include <iostream>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "engine/checkpoint/model_dir.h"
#include "nlohmann/json.hpp"
#include "train/exit_codes.h"
#include "train/model_facts.h"
#include "train/model_source.h"

namespace spanlm {
namespace {

nlohmann::ordered_json ToJson(const ModelDir& model, const ModelFacts& facts) {
  const ModelConfig& config = model.config();
  return {{"family", std::string(Name(config->family))},
          {"architecture", std::string(Name(config->architecture))},
          {"semantics", facts.semantics},
          {"parameters", model.parameter_count()},
          {"layers", config->n_layer},
          {"heads", config->n_head},
          {"d_model", config->d_model},
          {"vocab_size", config->vocab_size},
          {"spans", facts.spans},
          {"reaches", facts.reaches},
          {"layer_windows", facts.layer_windows},
          {"receptive_field", facts.receptive_field_bytes},
          {"session_bytes",
           {{"fp32", facts.session_bytes.fp32},
            {"bf16", facts.session_bytes.bf16},
            {"int8", facts.session_bytes.int8}}},
          {"digest", model.digest()}};
}

void Print(const ModelDir& model, const ModelFacts& facts, std::ostream& out) {
  const ModelConfig& config = model.config();
  out << absl::StreamFormat(
             "%s, family %s, semantics %s\n"
             "%d parameters: %d layers, %d heads, d_model %d, d_inner %d, %d "
             "symbols%s\n"
             "receptive field %d bytes; a session takes %d bytes (fp32), %d "
             "(bf16), %d (int8)\n"
             "digest %s\n",
             Name(config->architecture), Name(config->family), facts.semantics,
             model.parameter_count(), config->n_layer, config->n_head,
             config->d_model, config->d_inner, config->vocab_size,
             config.knows_bytes() ? "" : " (bytes unknown: a token model)",
             facts.receptive_field_bytes, facts.session_bytes.fp32,
             facts.session_bytes.bf16, facts.session_bytes.int8, model.digest())
      << FormatSpans(facts);
}

}  // namespace

void AddInspectCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* command = app.add_subcommand("inspect", "Says what a model is.");
  command
      ->add_option("model", options->model,
                   "a model directory or a foreign checkpoint")
      ->type_name("MODEL")
      ->required();
  command->add_flag("--json", options->json, "print one JSON object");
  command->callback([options, exit_code] {
    *exit_code = Report(RunInspect(*options, std::cout));
  });
}

absl::Status RunInspect(const InspectOptions& options, std::ostream& out) {
  SPANLM_ASSIGN_OR_RETURN(const ModelSource source,
                          FindModel(options.model, {}));
  SPANLM_ASSIGN_OR_RETURN(const ModelDir model,
                          ModelDir::Open(source.model_dir));
  SPANLM_ASSIGN_OR_RETURN(const ModelFacts facts,
                          FactsOf(model.config(), model));
  if (options.json) {
    out << ToJson(model, facts).dump() << std::endl;
  } else {
    Print(model, facts, out);
  }
  return absl::OkStatus();
}

}  // namespace spanlm
