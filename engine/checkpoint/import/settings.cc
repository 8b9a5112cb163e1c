// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <limits>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/checkpoint/import/import.h"

namespace spanlm {
namespace {

struct IntSetting {
  absl::string_view name;
  int32_t ModelFields::*field;
};
constexpr IntSetting kIntSettings[] = {
    {"n_layer", &ModelFields::n_layer},
    {"d_model", &ModelFields::d_model},
    {"n_head", &ModelFields::n_head},
    {"d_head", &ModelFields::d_head},
    {"d_inner", &ModelFields::d_inner},
    {"vocab_size", &ModelFields::vocab_size},
    {"attn_span", &ModelFields::attn_span},
    {"ramp", &ModelFields::ramp},
    {"block_rounding", &ModelFields::block_rounding},
    {"mem_len", &ModelFields::mem_len},
    {"clamp_len", &ModelFields::clamp_len},
    {"unknown_symbol", &ModelFields::unknown_symbol}};

struct BoolSetting {
  absl::string_view name;
  bool ModelFields::*field;
};
constexpr BoolSetting kBoolSettings[] = {
    {"adapt_span_layer", &ModelFields::adapt_span_layer},
    {"renormalize", &ModelFields::renormalize},
    {"same_length", &ModelFields::same_length},
    {"tie_biases", &ModelFields::tie_biases}};

absl::Status Unparsed(const std::string& name, const std::string& value,
                      absl::string_view want) {
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": \"", value, "\", want ", want));
}

absl::Status ApplySetting(const std::string& name, const std::string& value,
                          ModelFields* fields) {
  for (const IntSetting& setting : kIntSettings) {
    if (setting.name != name) continue;
    return absl::SimpleAtoi(value, &(fields->*setting.field))
               ? absl::OkStatus()
               : Unparsed(name, value, "a whole number of 32 bits");
  }
  for (const BoolSetting& setting : kBoolSettings) {
    if (setting.name != name) continue;
    if (value != "true" && value != "false") {
      return Unparsed(name, value, "true or false");
    }
    fields->*setting.field = value == "true";
    return absl::OkStatus();
  }
  if (name == "memory_start") {
    if (value != "zero" && value != "empty") {
      return Unparsed(name, value, "zero or empty");
    }
    fields->memory_start =
        value == "zero" ? MemoryStart::kZero : MemoryStart::kEmpty;
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(name, ": not a field that can be set"));
}

}  // namespace

absl::Status ApplySettings(const std::map<std::string, std::string>& settings,
                           ModelFields* fields) {
  for (const auto& [name, value] : settings) {
    SPANLM_RETURN_IF_ERROR(ApplySetting(name, value, fields));
  }
  return absl::OkStatus();
}

}  // namespace spanlm
