// SPDX-License-Identifier: Apache-2.0
// Published checkpoints, made by running the published code.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "engine/checkpoint/import/import.h"
#include "engine/checkpoint/model_dir.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/support/golden_path.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

using nlohmann::json;

json GoldenJson(const std::string& name) {
  return json::parse(ReadFile(GoldenPath(name)));
}

#define SKIP_IF_ABSENT(name)                                \
  if (!std::filesystem::exists(GoldenPath(name)))           \
  GTEST_SKIP() << name                                      \
               << " is not in this choice of the vectors, " \
                  "see tests/testdata/golden/README.md"

using Floats = std::map<std::string, std::vector<float>>;

Floats FloatsOf(const ModelContents& contents) {
  Floats floats;
  for (const TensorData& tensor : contents.tensors) {
    floats[tensor.name] = *ToFloats(tensor.view());
  }
  return floats;
}

// Parameters of the model that `contents` makes.
int64_t ParameterCount(const ModelContents& contents) {
  const TempDir folder;
  EXPECT_OK(WriteModelDir(folder.File("m"), contents));
  const absl::StatusOr<ModelDir> model = ModelDir::Open(folder.File("m"));
  EXPECT_OK(model);
  return model.ok() ? model->parameter_count() : 0;
}

void ExpectShape(const ModelFields& fields, const json& hyper) {
  EXPECT_EQ(fields.n_layer, hyper["n_layer"]);
  EXPECT_EQ(fields.d_model, hyper["d_model"]);
  EXPECT_EQ(fields.n_head, hyper["n_head"]);
  EXPECT_EQ(fields.d_head * fields.n_head, hyper["d_model"]);
  EXPECT_EQ(fields.d_inner, hyper["d_inner"]);
  if (hyper.contains("vocab_size")) {
    EXPECT_EQ(fields.vocab_size, hyper["vocab_size"]);
  }
}

struct Checkpoint {
  const char* file;
  const char* facts;  // its family's .json
  Family family;
};

const Checkpoint kCheckpoints[] = {
    {"adaptive_span_o.pt", "adaptive_span_o.json", Family::kOriginal},
    {"adaptive_span_o_zip.pt", "adaptive_span_o.json", Family::kOriginal},
    {"adaptive_span_f.pt", "adaptive_span_f.json", Family::kFairseq},
    {"adaptive_span_f_fp16.pt", "adaptive_span_f_fp16.json", Family::kFairseq},
    {"transformer_xl_k.pt", "transformer_xl_k.json", Family::kKimiyoung},
    {"transformer_xl_k_legacy.pt", "transformer_xl_k.json", Family::kKimiyoung},
    {"transformer_xl_f.pt", "transformer_xl_f.json", Family::kFairseq},
    {"transformer_xl_f_fp16.pt", "transformer_xl_f.json", Family::kFairseq},
    {"transformer_xl_f_fp16_upcast.pt", "transformer_xl_f.json",
     Family::kFairseq},
    {"transformer_xl_hf", "transformer_xl_f.json", Family::kHuggingFace},
};

class ImportGoldenTest : public testing::TestWithParam<Checkpoint> {};

TEST_P(ImportGoldenTest, HasTheShapeFamilyAndParametersOfItsFacts) {
  SKIP_IF_ABSENT(GetParam().file);
  const json facts = GoldenJson(GetParam().facts);

  ASSERT_OK_AND_ASSIGN(const ModelContents contents,
                       ImportModel(GoldenPath(GetParam().file), {}));

  EXPECT_EQ(contents.fields.family, GetParam().family);
  ExpectShape(contents.fields, facts["hyperparameters"]);
  EXPECT_EQ(ParameterCount(contents), facts["parameters"]);
}

INSTANTIATE_TEST_SUITE_P(Files, ImportGoldenTest,
                         testing::ValuesIn(kCheckpoints),
                         [](const testing::TestParamInfo<Checkpoint>& info) {
                           return std::string(
                               absl::StripSuffix(info.param.file, ".pt"));
                         });

struct EqualPair {
  const char* first;
  const char* second;
};

class ImportGoldenPairTest : public testing::TestWithParam<EqualPair> {};

TEST_P(ImportGoldenPairTest, HoldTheSameTensorsBitByBit) {
  SKIP_IF_ABSENT(GetParam().first);
  SKIP_IF_ABSENT(GetParam().second);
  ImportOptions options;  // a plain state dict does not hold it
  if (absl::StrContains(GetParam().second, "state")) {
    options.settings["mem_len"] = "32";
  }

  ASSERT_OK_AND_ASSIGN(const ModelContents first,
                       ImportModel(GoldenPath(GetParam().first), {}));
  ASSERT_OK_AND_ASSIGN(const ModelContents second,
                       ImportModel(GoldenPath(GetParam().second), options));

  EXPECT_EQ(FloatsOf(first), FloatsOf(second));
}

INSTANTIATE_TEST_SUITE_P(
    Containers, ImportGoldenPairTest,
    testing::Values(
        EqualPair{"adaptive_span_o.pt", "adaptive_span_o_zip.pt"},
        EqualPair{"transformer_xl_k.pt", "transformer_xl_k_legacy.pt"},
        EqualPair{"transformer_xl_k_legacy.pt", "transformer_xl_k_state.pt"},
        EqualPair{"transformer_xl_f.pt", "transformer_xl_hf"},
        EqualPair{"transformer_xl_f_fp16.pt",
                  "transformer_xl_f_fp16_upcast.pt"}));

// Plain state dicts against the same tensors in a format of no container.
class ImportGoldenTensorsTest : public testing::TestWithParam<const char*> {};

TEST_P(ImportGoldenTensorsTest, AreThoseOfTheTensorSet) {
  const std::string name = GetParam();
  SKIP_IF_ABSENT(name + ".initial.pt");
  SKIP_IF_ABSENT(name + ".initial.bin");
  ImportOptions options;
  if (name == "train_k" || name == "train_hf") {
    options.settings["mem_len"] = "16";
  }
  const std::string bytes = ReadFile(GoldenPath(name + ".initial.bin"));

  ASSERT_OK_AND_ASSIGN(const ModelContents contents,
                       ImportModel(GoldenPath(name + ".initial.pt"), options));

  std::map<std::string, TensorData> tensors;
  for (const TensorData& tensor : contents.tensors) {
    tensors[tensor.name] = tensor;
  }
  const json index = GoldenJson(name + ".initial.index.json");
  for (const json& entry : index["tensors"]) {
    const std::string full = entry["name"];
    const TensorData& tensor =
        tensors[std::string(absl::StripPrefix(full, "transformer."))];
    EXPECT_EQ(json(tensor.shape), entry["shape"]) << full;
    EXPECT_TRUE(tensor.bytes == bytes.substr(entry["offset"], entry["bytes"]))
        << full;
  }
}

INSTANTIATE_TEST_SUITE_P(Replays, ImportGoldenTensorsTest,
                         testing::Values("train_o", "train_f", "train_k",
                                         "train_hf"));

TEST(ImportGoldenFactsTest, SpansAreThoseThatTheFilesHold) {
  for (const std::string family :
       {"adaptive_span_o", "adaptive_span_f", "adaptive_span_f_fp16"}) {
    ASSERT_OK_AND_ASSIGN(const ModelContents contents,
                         ImportModel(GoldenPath(family + ".pt"), {}));
    const json layers = GoldenJson(family + ".json")["layers"];
    Floats floats = FloatsOf(contents);

    for (size_t i = 0; i < layers.size(); ++i) {
      const std::string name = "layers." + std::to_string(i) +
                               ".attn.attn.adaptive_span._mask.current_val";
      for (size_t head = 0; head < floats[name].size(); ++head) {
        EXPECT_EQ(floats[name][head], layers[i]["z"][head].get<float>())
            << family << ", layer " << i << ", head " << head;
      }
    }
  }
}

TEST(ImportGoldenFactsTest, KeepsWhatIsStoredInHalf) {
  ASSERT_OK_AND_ASSIGN(const ModelContents contents,
                       ImportModel(GoldenPath("adaptive_span_f_fp16.pt"), {}));

  Floats floats = FloatsOf(contents);
  for (const TensorData& tensor : contents.tensors) {
    EXPECT_EQ(tensor.dtype, DType::kF16) << tensor.name;
  }
  const json facts = GoldenJson("adaptive_span_f_fp16.json");
  const std::vector<float>& mask =
      floats["layers.0.attn.attn.adaptive_span._mask.mask_template"];
  ASSERT_EQ(mask.size(), facts["hyperparameters"]["attn_span"]);
  // Distances that half cannot hold are rounded.
  float largest = 0;
  for (size_t i = 0; i < mask.size(); ++i) {
    const auto exact =
        static_cast<float>(i + 1) - static_cast<float>(mask.size());
    largest = std::max(largest, std::abs(mask[i] - exact));
  }
  EXPECT_EQ(largest, facts["max_abs_error_of_stored_mask_template"]);
}

// Four specials, the file's entries in order, fillers without a byte.
TEST(ImportGoldenFactsTest, FairseqsDictionaryNamesTheBytes) {
  ImportOptions options;
  options.dictionary_path = GoldenPath("adaptive_span_f.dict.txt");

  ASSERT_OK_AND_ASSIGN(const ModelContents contents,
                       ImportModel(GoldenPath("adaptive_span_f.pt"), options));

  std::vector<std::optional<uint8_t>> expected(4);
  expected[2] = '\n';
  std::ifstream dictionary(options.dictionary_path);
  int byte = 0, count = 0;
  while (dictionary >> byte >> count) {
    expected.push_back(static_cast<uint8_t>(byte));
  }
  ASSERT_TRUE(dictionary.eof());
  expected.resize(
      GoldenJson("adaptive_span_f.json")["hyperparameters"]["vocab_size"]);
  EXPECT_EQ(contents.fields.symbols, expected);
  EXPECT_EQ(contents.fields.unknown_symbol, 3);
}

TEST(ImportGoldenFactsTest, SettingsOfTransformerXlComeFromTheFiles) {
  const std::pair<const char*, const char*> files[] = {
      {"transformer_xl_k_legacy.pt", "transformer_xl_k.json"},
      {"transformer_xl_f_fp16.pt", "transformer_xl_f_fp16.json"},
      {"transformer_xl_hf", "transformer_xl_f.json"}};
  for (const auto& [file, facts] : files) {
    const json hyper = GoldenJson(facts)["hyperparameters"];
    ASSERT_OK_AND_ASSIGN(const ModelContents contents,
                         ImportModel(GoldenPath(file), {}));

    EXPECT_EQ(contents.fields.mem_len, hyper["mem_len"]);
    EXPECT_EQ(contents.fields.clamp_len, hyper["clamp_len"]);
    EXPECT_EQ(contents.fields.same_length, hyper["same_length"]);
    EXPECT_EQ(contents.fields.tie_biases, !hyper["untie_r"]);
    EXPECT_EQ(contents.fields.memory_start,
              contents.fields.family == Family::kKimiyoung
                  ? MemoryStart::kEmpty
                  : MemoryStart::kZero);
  }
}

}  // namespace
}  // namespace spanlm
