// SPDX-License-Identifier: Apache-2.0
#include "engine/model_config.h"

#include <functional>
#include <set>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/status_matchers.h"

namespace spanlm {
namespace {

using testing::AllOf;
using testing::HasSubstr;

ModelFields AdaptiveSpanFields() {
  ModelFields fields;
  fields.n_layer = 12;
  fields.d_model = 512;
  fields.n_head = 8;
  fields.d_head = 64;
  fields.d_inner = 2048;
  fields.vocab_size = 256;
  fields.attn_span = 8192;
  fields.symbols = AllBytes();
  return fields;
}

ModelFields TransformerXlFields() {
  ModelFields fields;
  fields.architecture = Architecture::kTransformerXl;
  fields.family = Family::kKimiyoung;
  fields.n_layer = 3;
  fields.d_model = 64;
  fields.n_head = 4;
  fields.d_head = 16;
  fields.d_inner = 128;
  fields.vocab_size = 204;
  fields.mem_len = 96;
  fields.clamp_len = 40;
  fields.same_length = false;
  fields.tie_biases = true;
  fields.memory_start = MemoryStart::kEmpty;
  return fields;
}

nlohmann::json JsonOf(const ModelFields& fields) {
  return nlohmann::json::parse(ModelConfig::Create(fields)->ToJson());
}

TEST(ModelConfigTest, ReadsBackWhatItWrote) {
  for (const ModelFields& fields :
       {AdaptiveSpanFields(), TransformerXlFields()}) {
    ASSERT_OK_AND_ASSIGN(const ModelConfig config, ModelConfig::Create(fields));

    ASSERT_OK_AND_ASSIGN(const ModelConfig read,
                         ModelConfig::FromJson(config.ToJson()));

    EXPECT_EQ(read.ToJson(), config.ToJson());
    EXPECT_EQ(read->architecture, fields.architecture);
    EXPECT_EQ(read->family, fields.family);
    EXPECT_EQ(read->memory_start, fields.memory_start);
    EXPECT_EQ(read->same_length, fields.same_length);
    EXPECT_EQ(read->symbols, fields.symbols);
  }
}

TEST(ModelConfigTest, WritesEveryKeyOnceAndNoOther) {
  const std::set<std::string> want = {
      "format_version", "architecture",   "family",       "n_layer",
      "d_model",        "n_head",         "d_head",       "d_inner",
      "vocab_size",     "attn_span",      "ramp",         "adapt_span_layer",
      "renormalize",    "block_rounding", "mem_len",      "clamp_len",
      "same_length",    "tie_biases",     "memory_start", "symbols",
      "unknown_symbol", "weights_sha256"};

  std::set<std::string> keys;
  const nlohmann::json json = JsonOf(AdaptiveSpanFields());
  for (const auto& item : json.items()) keys.insert(item.key());

  EXPECT_EQ(keys, want);
}

TEST(ModelConfigTest, WritesSpecialSymbolsAsNull) {
  ModelFields fields = AdaptiveSpanFields();
  fields.vocab_size = 4;
  fields.symbols = {std::nullopt, uint8_t{10}, uint8_t{255}, std::nullopt};
  fields.unknown_symbol = 3;

  const nlohmann::json json = JsonOf(fields);

  EXPECT_EQ(json["symbols"].dump(), "[null,10,255,null]");
  EXPECT_EQ(json["unknown_symbol"], 3);
}

struct BadField {
  std::string message;  // what the error must say
  std::function<void(ModelFields*)> spoil;
};

void ExpectRefused(const ModelFields& good, const BadField& bad) {
  ModelFields fields = good;
  bad.spoil(&fields);
  EXPECT_THAT(ModelConfig::Create(fields),
              StatusIs(absl::StatusCode::kInvalidArgument, bad.message.c_str()))
      << bad.message;
}

TEST(ModelConfigTest, RefusesShapesOutOfBoundsAndNamesFieldValueAndBound) {
  const BadField cases[] = {
      {"n_layer: 0, want 1 to 1024", [](auto* f) { f->n_layer = 0; }},
      {"n_layer: 1025, want 1 to 1024", [](auto* f) { f->n_layer = 1025; }},
      {"d_model: -512", [](auto* f) { f->d_model = -512; }},
      {"d_model: 513, want n_head * d_head = 512",
       [](auto* f) { f->d_model = 513; }},
      {"n_head: 0", [](auto* f) { f->n_head = 0; }},
      {"d_head: 129, want 1 to 128", [](auto* f) { f->d_head = 129; }},
      {"d_inner: 0", [](auto* f) { f->d_inner = 0; }},
      {"vocab_size: 1, want 2 to 65535", [](auto* f) { f->vocab_size = 1; }},
      {"vocab_size: 65536", [](auto* f) { f->vocab_size = 65536; }},
  };
  for (const BadField& bad : cases) ExpectRefused(AdaptiveSpanFields(), bad);
}

TEST(ModelConfigTest, RefusesAdaptiveSpanFieldsOutOfBounds) {
  const BadField cases[] = {
      {"attn_span: 0", [](auto* f) { f->attn_span = 0; }},
      {"attn_span: 8200, want a multiple of block_rounding = 64",
       [](auto* f) { f->attn_span = 8200; }},
      {"block_rounding: 0", [](auto* f) { f->block_rounding = 0; }},
      {"ramp: 0", [](auto* f) { f->ramp = 0; }},
      {"mem_len: not a field of adaptive_span",
       [](auto* f) { f->mem_len = 5; }},
      {"tie_biases: not a field", [](auto* f) { f->tie_biases = true; }},
  };
  for (const BadField& bad : cases) ExpectRefused(AdaptiveSpanFields(), bad);
}

TEST(ModelConfigTest, RefusesTransformerXlFieldsOutOfBounds) {
  const BadField cases[] = {
      {"mem_len: 0, want 1 to", [](auto* f) { f->mem_len = 0; }},
      {"clamp_len (-1: none): 0", [](auto* f) { f->clamp_len = 0; }},
      {"clamp_len (-1: none): -2", [](auto* f) { f->clamp_len = -2; }},
      {"d_model: 3, want an even number",
       [](auto* f) {
         f->n_head = 1;
         f->d_head = 3;
         f->d_model = 3;
       }},
      {"attn_span: not a field of transformer_xl",
       [](auto* f) { f->attn_span = 64; }},
      {"renormalize: not a field", [](auto* f) { f->renormalize = false; }},
  };
  for (const BadField& bad : cases) ExpectRefused(TransformerXlFields(), bad);
}

TEST(ModelConfigTest, RefusesSymbolsThatAreNoMap) {
  const BadField cases[] = {
      {"symbols: 255 entries, want none or vocab_size = 256",
       [](auto* f) { f->symbols.pop_back(); }},
      {"symbols: byte 7 belongs to both 7 and 9",
       [](auto* f) { f->symbols[9] = uint8_t{7}; }},
      {"symbols: no entry is a byte",
       [](auto* f) { f->symbols.assign(256, std::nullopt); }},
      {"unknown_symbol (-1: none): 256",
       [](auto* f) { f->unknown_symbol = 256; }},
      {"unknown_symbol (-1: none): -2",
       [](auto* f) { f->unknown_symbol = -2; }},
      {"unknown_symbol: 3 is the symbol of byte 3",
       [](auto* f) { f->unknown_symbol = 3; }},
      {"unknown_symbol",
       [](auto* f) {
         f->symbols.clear();
         f->unknown_symbol = 0;
       }},
      {"weights_sha256", [](auto* f) { f->weights_sha256 = "12ab"; }},
      {"weights_sha256",
       [](auto* f) { f->weights_sha256 = std::string(64, 'A'); }},
  };
  for (const BadField& bad : cases) ExpectRefused(AdaptiveSpanFields(), bad);
}

TEST(ModelConfigTest, RefusesEveryMissingKeyByName) {
  const nlohmann::json whole = JsonOf(AdaptiveSpanFields());
  for (const auto& item : whole.items()) {
    nlohmann::json json = whole;
    json.erase(item.key());

    EXPECT_THAT(ModelConfig::FromJson(json.dump()),
                StatusIs(absl::StatusCode::kInvalidArgument,
                         HasSubstr(item.key() + ": missing")));
  }
}

TEST(ModelConfigTest, RefusesValuesOfAnotherType) {
  const std::pair<const char*, nlohmann::json> cases[] = {
      {"n_layer", "12"},
      {"n_layer", 12.0},
      {"n_layer", 3000000000},
      {"n_layer", -3000000000},
      {"renormalize", 1},
      {"architecture", "rnn"},
      {"architecture", 1},
      {"family", "ours"},
      {"memory_start", nullptr},
      {"symbols", 1},
      {"symbols", {-1}},
      {"symbols", {256}},
      {"symbols", {nlohmann::json::array({1})}},
      {"weights_sha256", false}};
  for (const auto& [key, value] : cases) {
    nlohmann::json json = JsonOf(AdaptiveSpanFields());
    json[key] = value;

    EXPECT_THAT(ModelConfig::FromJson(json.dump()),
                StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr(key)))
        << value;
  }
}

TEST(ModelConfigTest, RefusesUnknownAndRepeatedKeys) {
  nlohmann::json json = JsonOf(AdaptiveSpanFields());
  json["dropout"] = 0.3;
  EXPECT_THAT(
      ModelConfig::FromJson(json.dump()),
      StatusIs(absl::StatusCode::kInvalidArgument, "dropout: unknown key"));

  std::string text = ModelConfig::Create(AdaptiveSpanFields())->ToJson();
  text.insert(1, "\"n_layer\": 3,");
  EXPECT_THAT(
      ModelConfig::FromJson(text),
      StatusIs(absl::StatusCode::kInvalidArgument, "n_layer: comes twice"));
}

TEST(ModelConfigTest, RefusesAnotherFormatVersion) {
  nlohmann::json json = JsonOf(AdaptiveSpanFields());
  json["format_version"] = 2;

  EXPECT_THAT(
      ModelConfig::FromJson(json.dump()),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               AllOf(HasSubstr("format_version: 2"), HasSubstr("reads 1"))));
}

TEST(ModelConfigTest, RefusesWhatIsNoJsonObject) {
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("1"),
        std::string("{}x"), std::string(100'000, '['),
        std::string("{\"n_layer\":") + std::string(100'000, '['),
        std::string("{\"\xff\": 1}")}) {
    EXPECT_THAT(ModelConfig::FromJson(text),
                StatusIs(absl::StatusCode::kInvalidArgument));
  }
}

TEST(ModelConfigTest, NamesArchitecturesAndFamilies) {
  EXPECT_EQ(Name(Architecture::kAdaptiveSpan), "adaptive_span");
  EXPECT_EQ(Name(Architecture::kTransformerXl), "transformer_xl");
  EXPECT_EQ(Name(Family::kNative), "native");
  EXPECT_EQ(Name(Family::kHuggingFace), "huggingface");
}

TEST(ModelConfigTest, AllBytesAreTheirOwnSymbols) {
  const std::vector<std::optional<uint8_t>> bytes = AllBytes();

  ASSERT_EQ(bytes.size(), 256U);
  EXPECT_EQ(bytes[0], 0);
  EXPECT_EQ(bytes[255], 255);
}

}  // namespace
}  // namespace spanlm
