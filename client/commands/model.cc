// SPDX-License-Identifier: Apache-2.0
#include "client/commands/model.h"

#include <memory>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace spanlm {
namespace {

using Json = nlohmann::ordered_json;

constexpr absl::Duration kTimeout = absl::Seconds(10);

// STATE_READY is "ready".
std::string StateName(v1::Model::State state) {
  const std::string name = v1::Model::State_Name(state);
  return absl::AsciiStrToLower(absl::StripPrefix(name, "STATE_"));
}

Json ModelToJson(const v1::Model& model) {
  Json json{{"name", model.name()},
            {"version", model.version()},
            {"digest", model.digest()},
            {"numerics", model.numerics()},
            {"architecture", model.architecture()},
            {"family", model.family()},
            {"state", StateName(model.state())},
            {"is_default", model.is_default()},
            {"parameter_count", model.parameter_count()},
            {"layer_count", model.layer_count()},
            {"head_count", model.head_count()},
            {"model_width", model.model_width()},
            {"symbol_count", model.symbol_count()},
            {"session_state_bytes", model.session_state_bytes()},
            {"session_capacity", model.session_capacity()},
            {"receptive_field_bytes", model.receptive_field_bytes()},
            {"weights_format", model.weights_format()},
            {"cache_format", model.cache_format()},
            {"device", model.device()}};
  json["layers"] = Json::array();
  for (const v1::LayerSpans& layer : model.layers()) {
    json["layers"].push_back(Json{
        {"spans",
         std::vector<float>(layer.spans().begin(), layer.spans().end())},
        {"reaches",
         std::vector<int32_t>(layer.reaches().begin(), layer.reaches().end())},
        {"window_bytes", layer.window_bytes()}});
  }
  return json;
}

void PrintLayers(const v1::Model& model, std::ostream& out) {
  for (int layer = 0; layer < model.layers_size(); ++layer) {
    const v1::LayerSpans& spans = model.layers(layer);
    out << absl::StrFormat("layer %-3d window %6d bytes, ", layer,
                           spans.window_bytes());
    out << (spans.spans_size() > 0 ? "spans" : "reaches");
    for (const float span : spans.spans()) {
      out << absl::StrFormat(" %.1f", span);
    }
    if (spans.spans_size() == 0) {
      for (const int32_t reach : spans.reaches()) out << " " << reach;
    }
    out << "\n";
  }
}

void PrintModel(const v1::Model& model, std::ostream& out) {
  const auto line = [&out](absl::string_view name, const auto& value) {
    out << absl::StrFormat("%-22s", name) << value << "\n";
  };
  line("name", model.name());
  line("version", model.version());
  line("digest", model.digest());
  line("numerics", model.numerics());
  line("architecture", model.architecture());
  line("family", model.family());
  line("state", StateName(model.state()));
  line("default", model.is_default() ? "yes" : "no");
  line("parameters", model.parameter_count());
  line("layers", model.layer_count());
  line("heads", model.head_count());
  line("width", model.model_width());
  line("symbols", model.symbol_count());
  line("session state", absl::StrCat(model.session_state_bytes(), " bytes"));
  line("session capacity", model.session_capacity());
  line("receptive field",
       absl::StrCat(model.receptive_field_bytes(), " bytes"));
  line("weights", model.weights_format());
  line("cache", model.cache_format());
  line("device", model.device());
  PrintLayers(model, out);
}

absl::Status RunList(const CommonFlags& flags, Console& console) {
  Client client(MakeClientOptions(flags, kTimeout));
  SPANLM_ASSIGN_OR_RETURN(const std::vector<v1::Model> models,
                          client.ListModels());
  if (flags.json) {
    Json list = Json::array();
    for (const v1::Model& model : models) list.push_back(ModelToJson(model));
    console.out << Json{{"models", list}} << "\n";
    return CheckWritten(console);
  }
  for (const v1::Model& model : models) {
    console.out << absl::StrFormat(
        "%-24s %-8s %-16s %12d parameters  %s%s\n", model.name(),
        StateName(model.state()), model.architecture(), model.parameter_count(),
        model.digest().substr(0, 12), model.is_default() ? "  (default)" : "");
  }
  return CheckWritten(console);
}

absl::Status RunGet(const std::string& name, const CommonFlags& flags,
                    Console& console) {
  Client client(MakeClientOptions(flags, kTimeout));
  SPANLM_ASSIGN_OR_RETURN(const v1::Model model,
                          client.GetModel(name.empty() ? flags.model : name));
  if (flags.json) {
    console.out << ModelToJson(model) << "\n";
  } else {
    PrintModel(model, console.out);
  }
  return CheckWritten(console);
}

}  // namespace

void AddModelCommand(CLI::App* app, Invocation* invocation) {
  CLI::App* command =
      app->add_subcommand("model", "List or describe the loaded models");
  command->require_subcommand(1);
  command->fallthrough();
  command->footer(
      "Examples:\n  spanlm model list\n  spanlm model get demo --json");
  CLI::App* list = command->add_subcommand("list", "List the loaded models");
  list->fallthrough();
  list->callback([invocation] { invocation->run = RunList; });
  auto name = std::make_shared<std::string>();
  CLI::App* get = command->add_subcommand(
      "get", "Describe one model, the spans of its heads included");
  get->fallthrough();
  get->add_option("NAME", *name, "The model; without it the default");
  get->callback([name, invocation] {
    invocation->run = [name](const CommonFlags& flags, Console& console) {
      return RunGet(*name, flags, console);
    };
  });
}

}  // namespace spanlm
