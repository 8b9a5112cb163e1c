// SPDX-License-Identifier: Apache-2.0
#include "engine/model_config.h"

#include <limits>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "engine/model_bounds.h"
#include "nlohmann/json.hpp"

namespace spanlm {
namespace {

using Json = nlohmann::json;

constexpr int32_t kBytesPerLine = 16;

template <typename Value>
struct NameOf {
  Value value;
  absl::string_view name;
};
constexpr NameOf<Architecture> kArchitectures[] = {
    {Architecture::kAdaptiveSpan, "adaptive_span"},
    {Architecture::kTransformerXl, "transformer_xl"}};
constexpr NameOf<Family> kFamilies[] = {{Family::kNative, "native"},
                                        {Family::kOriginal, "original"},
                                        {Family::kFairseq, "fairseq"},
                                        {Family::kKimiyoung, "kimiyoung"},
                                        {Family::kHuggingFace, "huggingface"}};
constexpr NameOf<MemoryStart> kMemoryStarts[] = {
    {MemoryStart::kZero, "zero"}, {MemoryStart::kEmpty, "empty"}};

template <typename Value, size_t n>
absl::string_view NameIn(const NameOf<Value> (&names)[n], Value value) {
  for (const NameOf<Value>& entry : names) {
    if (entry.value == value) return entry.name;
  }
  return "";
}

// Takes the keys of config.json one by one and remembers the first complaint.
class ConfigReader {
 public:
  explicit ConfigReader(const Json& json) : json_(json) {}

  void Read(const char* key, int32_t* value) {
    const Json* entry = Take(key);
    if (entry == nullptr) return;
    if (!entry->is_number_integer()) return Complain(key, "a whole number");
    if (entry->is_number_unsigned() &&
        entry->get<uint64_t>() > std::numeric_limits<int32_t>::max()) {
      return Complain(key, "a 32-bit number");
    }
    const auto wide = entry->get<int64_t>();
    if (wide < std::numeric_limits<int32_t>::min()) {
      return Complain(key, "a 32-bit number");
    }
    *value = static_cast<int32_t>(wide);
  }
  void Read(const char* key, bool* value) {
    const Json* entry = Take(key);
    if (entry == nullptr) return;
    if (!entry->is_boolean()) return Complain(key, "true or false");
    *value = entry->get<bool>();
  }
  void Read(const char* key, std::string* value) {
    const Json* entry = Take(key);
    if (entry == nullptr) return;
    if (!entry->is_string()) return Complain(key, "a string");
    *value = entry->get<std::string>();
  }
  template <typename Value, size_t n>
  void Read(const char* key, const NameOf<Value> (&names)[n], Value* value) {
    std::string text;
    Read(key, &text);
    if (!status_.ok()) return;
    for (const NameOf<Value>& entry : names) {
      if (entry.name == text) {
        *value = entry.value;
        return;
      }
    }
    Complain(key, absl::StrCat("one of ",
                               absl::StrJoin(names, ", ",
                                             [](std::string* out,
                                                const NameOf<Value>& entry) {
                                               absl::StrAppend(out, entry.name);
                                             })));
  }
  void Read(const char* key, std::vector<std::optional<uint8_t>>* value) {
    const Json* entry = Take(key);
    if (entry == nullptr) return;
    if (!entry->is_array()) return Complain(key, "an array");
    value->clear();
    for (const Json& symbol : *entry) {
      if (symbol.is_null()) {
        value->push_back(std::nullopt);
      } else if (symbol.is_number_unsigned() && symbol.get<uint64_t>() < 256) {
        value->push_back(static_cast<uint8_t>(symbol.get<uint64_t>()));
      } else {
        return Complain(
            key, absl::StrCat("null or a byte at entry ", value->size()));
      }
    }
  }

  // The first complaint, if any; else about a key that nobody took.
  absl::Status Finish() const {
    if (!status_.ok()) return status_;
    for (const auto& [key, value] : json_.items()) {
      if (taken_.count(key) == 0) {
        return absl::InvalidArgumentError(absl::StrCat(key, ": unknown key"));
      }
    }
    return absl::OkStatus();
  }

 private:
  const Json* Take(const char* key) {
    if (!status_.ok()) return nullptr;
    taken_.insert(key);
    const auto entry = json_.find(key);
    if (entry != json_.end()) return &*entry;
    status_ = absl::InvalidArgumentError(absl::StrCat(key, ": missing"));
    return nullptr;
  }
  void Complain(absl::string_view key, absl::string_view want) {
    status_ = absl::InvalidArgumentError(absl::StrCat(key, ": want ", want));
  }

  const Json& json_;
  absl::Status status_;
  std::set<std::string> taken_;
};

// Parses an object, no key of which may stand twice.
absl::StatusOr<Json> ParseObject(absl::string_view text) {
  std::set<std::string> keys;
  std::string twice;
  const auto on_event = [&](int depth, Json::parse_event_t event,
                            Json& parsed) {
    if (event == Json::parse_event_t::key && depth == 1 &&
        !keys.insert(parsed.get<std::string>()).second) {
      twice = parsed.get<std::string>();
    }
    // No value of ours is deeper than the symbols; deeper ones are dropped.
    return depth <= 2;
  };
  Json json = Json::parse(text.begin(), text.end(), on_event,
                          /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return absl::InvalidArgumentError("not a JSON object");
  }
  if (!twice.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(twice, ": comes twice"));
  }
  return json;
}

std::string SymbolsJson(const std::vector<std::optional<uint8_t>>& symbols) {
  if (symbols.empty()) return "[]";
  std::string text = "[";
  for (size_t i = 0; i < symbols.size(); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : ",",
                    i % kBytesPerLine == 0 ? "\n    " : " ");
    if (symbols[i].has_value()) {
      absl::StrAppend(&text, int{*symbols[i]});
    } else {
      absl::StrAppend(&text, "null");
    }
  }
  return absl::StrCat(text, "\n  ]");
}

std::string Quoted(absl::string_view text) {
  return absl::StrCat("\"", text, "\"");
}

}  // namespace

absl::StatusOr<ModelConfig> ModelConfig::Create(ModelFields fields) {
  SPANLM_RETURN_IF_ERROR(CheckBounds(fields));
  return ModelConfig(std::move(fields));
}

absl::StatusOr<ModelConfig> ModelConfig::FromJson(absl::string_view text) {
  SPANLM_ASSIGN_OR_RETURN(const Json json, ParseObject(text));
  ConfigReader reader(json);
  int32_t format_version = kFormatVersion;
  reader.Read("format_version", &format_version);
  if (format_version != kFormatVersion) {
    return absl::FailedPreconditionError(
        absl::StrCat("format_version: ", format_version,
                     ", this program reads ", kFormatVersion));
  }
  ModelFields fields;
  reader.Read("architecture", kArchitectures, &fields.architecture);
  reader.Read("family", kFamilies, &fields.family);
  reader.Read("n_layer", &fields.n_layer);
  reader.Read("d_model", &fields.d_model);
  reader.Read("n_head", &fields.n_head);
  reader.Read("d_head", &fields.d_head);
  reader.Read("d_inner", &fields.d_inner);
  reader.Read("vocab_size", &fields.vocab_size);
  reader.Read("attn_span", &fields.attn_span);
  reader.Read("ramp", &fields.ramp);
  reader.Read("adapt_span_layer", &fields.adapt_span_layer);
  reader.Read("renormalize", &fields.renormalize);
  reader.Read("block_rounding", &fields.block_rounding);
  reader.Read("mem_len", &fields.mem_len);
  reader.Read("clamp_len", &fields.clamp_len);
  reader.Read("same_length", &fields.same_length);
  reader.Read("tie_biases", &fields.tie_biases);
  reader.Read("memory_start", kMemoryStarts, &fields.memory_start);
  reader.Read("symbols", &fields.symbols);
  reader.Read("unknown_symbol", &fields.unknown_symbol);
  reader.Read("weights_sha256", &fields.weights_sha256);
  SPANLM_RETURN_IF_ERROR(reader.Finish());
  return Create(std::move(fields));
}

std::string ModelConfig::ToJson() const {
  const auto text = [](bool value) { return value ? "true" : "false"; };
  const std::pair<const char*, std::string> entries[] = {
      {"format_version", absl::StrCat(kFormatVersion)},
      {"architecture", Quoted(Name(fields_.architecture))},
      {"family", Quoted(Name(fields_.family))},
      {"n_layer", absl::StrCat(fields_.n_layer)},
      {"d_model", absl::StrCat(fields_.d_model)},
      {"n_head", absl::StrCat(fields_.n_head)},
      {"d_head", absl::StrCat(fields_.d_head)},
      {"d_inner", absl::StrCat(fields_.d_inner)},
      {"vocab_size", absl::StrCat(fields_.vocab_size)},
      {"attn_span", absl::StrCat(fields_.attn_span)},
      {"ramp", absl::StrCat(fields_.ramp)},
      {"adapt_span_layer", text(fields_.adapt_span_layer)},
      {"renormalize", text(fields_.renormalize)},
      {"block_rounding", absl::StrCat(fields_.block_rounding)},
      {"mem_len", absl::StrCat(fields_.mem_len)},
      {"clamp_len", absl::StrCat(fields_.clamp_len)},
      {"same_length", text(fields_.same_length)},
      {"tie_biases", text(fields_.tie_biases)},
      {"memory_start", Quoted(NameIn(kMemoryStarts, fields_.memory_start))},
      {"symbols", SymbolsJson(fields_.symbols)},
      {"unknown_symbol", absl::StrCat(fields_.unknown_symbol)},
      {"weights_sha256", Quoted(fields_.weights_sha256)},
  };
  const auto line = [](std::string* out, const auto& entry) {
    absl::StrAppend(out, "  \"", entry.first, "\": ", entry.second);
  };
  return absl::StrCat("{\n", absl::StrJoin(entries, ",\n", line), "\n}\n");
}

absl::string_view Name(Architecture architecture) {
  return NameIn(kArchitectures, architecture);
}

absl::string_view Name(Family family) { return NameIn(kFamilies, family); }

std::vector<std::optional<uint8_t>> AllBytes() {
  std::vector<std::optional<uint8_t>> bytes(256);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i);
  return bytes;
}

}  // namespace spanlm
