// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/export/export.h"

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/checkpoint/import/import.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/engine/checkpoint/tiny_contents.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

using nlohmann::json;
using testing::AllOf;
using testing::HasSubstr;

// What the published code can hold: windows are multiples of 64.
ModelFields PublishedAdaptiveSpan() {
  ModelFields fields = TinyAdaptiveSpanFields();
  fields.attn_span = 128;
  fields.block_rounding = 64;
  fields.ramp = 24;
  return fields;
}

ModelFields FairseqAdaptiveSpan() {
  ModelFields fields = PublishedAdaptiveSpan();
  fields.renormalize = false;
  return fields;
}

std::map<std::string, std::vector<float>> FloatsOf(
    const ModelContents& contents) {
  std::map<std::string, std::vector<float>> floats;
  for (const TensorData& tensor : contents.tensors) {
    floats[tensor.name] = *ToFloats(tensor.view());
  }
  return floats;
}

// A config without what an export and an import change on purpose.
std::string Settings(ModelFields fields) {
  fields.family = Family::kNative;
  fields.symbols.clear();
  fields.unknown_symbol = -1;
  fields.weights_sha256.clear();
  return ModelConfig::Create(fields)->ToJson();
}

TensorData* FindIn(ModelContents* contents, const std::string& name) {
  for (TensorData& tensor : contents->tensors) {
    if (tensor.name == name) return &tensor;
  }
  return nullptr;
}

class ExportTest : public testing::Test {
 protected:
  // Writes `contents` as a model and exports it.
  absl::StatusOr<ExportReport> Export(const ModelContents& contents,
                                      ExportFormat format,
                                      const std::string& destination) {
    const std::string path = folder_.File("model");
    absl::Status status = WriteModelDir(path, contents);
    if (!status.ok()) return status;
    absl::StatusOr<ModelDir> model = ModelDir::Open(path);
    if (!model.ok()) return model.status();
    return ExportModel(*model, format, folder_.File(destination));
  }

  // What the import of the export of `contents` gives.
  absl::StatusOr<ModelContents> RoundTrip(const ModelContents& contents,
                                          ExportFormat format,
                                          ImportOptions options = {}) {
    absl::StatusOr<ExportReport> report = Export(contents, format, "out");
    if (!report.ok()) return report.status();
    return ImportModel(report->files[0], options);
  }

  const TempDir folder_;
};

ModelContents Whole(const ModelFields& fields) {
  ModelContents contents;
  contents.fields = fields;
  contents.tensors = TinyTensors(fields);
  return contents;
}

TEST_F(ExportTest, EveryFormatComesBackAsItWas) {
  ModelFields layer_spans = FairseqAdaptiveSpan();
  layer_spans.adapt_span_layer = true;
  ModelFields windowed = TinyTransformerXlFields();
  windowed.clamp_len = 4;
  ModelFields default_mask = TinyTransformerXlFields();
  default_mask.same_length = false;
  const std::pair<ModelFields, ExportFormat> cases[] = {
      {PublishedAdaptiveSpan(), ExportFormat::kOriginal},
      {FairseqAdaptiveSpan(), ExportFormat::kFairseq},
      {layer_spans, ExportFormat::kFairseq},
      {windowed, ExportFormat::kFairseq},
      {windowed, ExportFormat::kHuggingFace},
      {default_mask, ExportFormat::kHuggingFace}};
  for (const auto& [fields, format] : cases) {
    const TempDir folder;
    ModelContents contents = Whole(fields);
    if (fields.architecture == Architecture::kTransformerXl) {
      contents = TinyContents(fields);  // its output is tied
    }
    ImportOptions options;  // the original code's files do not hold it
    if (format == ExportFormat::kOriginal) options.settings["ramp"] = "24";
    ASSERT_OK(WriteModelDir(folder.File("model"), contents));
    ASSERT_OK_AND_ASSIGN(const ModelDir model,
                         ModelDir::Open(folder.File("model")));

    ASSERT_OK_AND_ASSIGN(const ExportReport report,
                         ExportModel(model, format, folder.File("out")));
    ASSERT_OK_AND_ASSIGN(const ModelContents back,
                         ImportModel(report.files[0], options));

    EXPECT_EQ(Settings(back.fields), Settings(fields));
    auto want = FloatsOf(contents);
    auto got = FloatsOf(back);
    got.erase("pos_emb.inv_freq");  // made where the model has none
    EXPECT_EQ(got, want);
  }
}

TEST_F(ExportTest, MakesTheBuffersThatAModelDoesNotStore) {
  ASSERT_OK_AND_ASSIGN(const ModelContents span,
                       RoundTrip(TinyContents(PublishedAdaptiveSpan()),
                                 ExportFormat::kOriginal));
  std::filesystem::remove(folder_.File("out"));
  ASSERT_OK_AND_ASSIGN(const ModelContents xl,
                       RoundTrip(TinyContents(TinyTransformerXlFields()),
                                 ExportFormat::kHuggingFace));

  const std::vector<float> mask =
      FloatsOf(span)["layers.1.attn.attn.adaptive_span._mask.mask_template"];
  ASSERT_EQ(mask.size(), 128U);
  EXPECT_EQ(mask[0], -127);
  EXPECT_EQ(mask[127], 0);
  EXPECT_THAT(FloatsOf(xl)["pos_emb.inv_freq"],
              testing::ElementsAre(1.0F, 0.01F));
}

TEST_F(ExportTest, WidensHalfPrecision) {
  ModelContents contents = Whole(FairseqAdaptiveSpan());
  TensorData* tensor = FindIn(&contents, "key_pe");
  ASSERT_NE(tensor, nullptr);
  const std::vector<float> values = *ToFloats(tensor->view());
  std::string half;  // the upper half of each float: multiples of 1/32 fit
  for (size_t i = 0; i < tensor->bytes.size(); i += 4) {
    half += tensor->bytes.substr(i + 2, 2);
  }
  tensor->dtype = DType::kBF16;
  tensor->bytes = half;
  const std::vector<float> rounded = *ToFloats(tensor->view());

  ASSERT_OK_AND_ASSIGN(ModelContents back,
                       RoundTrip(contents, ExportFormat::kFairseq));

  ASSERT_EQ(rounded.size(), values.size());
  EXPECT_EQ(FindIn(&back, "key_pe")->dtype, DType::kF32);
  EXPECT_EQ(FloatsOf(back)["key_pe"], rounded);
}

TEST_F(ExportTest, RepeatsSharedBiasesForEveryLayer) {
  ModelFields fields = TinyTransformerXlFields();
  fields.tie_biases = true;
  const ModelContents contents = TinyContents(fields);
  const std::vector<float> bias = FloatsOf(contents)["r_w_bias"];

  ASSERT_OK_AND_ASSIGN(const ModelContents back,
                       RoundTrip(contents, ExportFormat::kFairseq));

  EXPECT_FALSE(back.fields.tie_biases);
  EXPECT_EQ(FloatsOf(back)["layers.0.dec_attn.r_w_bias"], bias);
  EXPECT_EQ(FloatsOf(back)["layers.1.dec_attn.r_w_bias"], bias);
}

TEST_F(ExportTest, AnOutputOfItsOwnIsForHuggingFaceAlone) {
  const ModelContents contents = Whole(TinyTransformerXlFields());

  ASSERT_OK_AND_ASSIGN(const ModelContents back,
                       RoundTrip(contents, ExportFormat::kHuggingFace));
  const json config =
      json::parse(ReadFile(folder_.File("out") + "/config.json"));

  EXPECT_EQ(FloatsOf(back), FloatsOf(contents));
  EXPECT_EQ(config["tie_word_embeddings"], false);
  EXPECT_THAT(Export(contents, ExportFormat::kFairseq, "x.pt"),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       "crit.out_layers.0.weight"));
}

TEST_F(ExportTest, RefusesWhatAFormatDoesNotCompute) {
  ModelFields rounding = PublishedAdaptiveSpan();
  rounding.block_rounding = 32;
  ModelFields layer_spans = PublishedAdaptiveSpan();
  layer_spans.adapt_span_layer = true;
  ModelFields empty = TinyTransformerXlFields();
  empty.memory_start = MemoryStart::kEmpty;
  const struct {
    ModelFields fields;
    ExportFormat format;
    const char* message;
  } cases[] = {
      {PublishedAdaptiveSpan(), ExportFormat::kFairseq, "renormalize: true"},
      {FairseqAdaptiveSpan(), ExportFormat::kOriginal, "renormalize: false"},
      {rounding, ExportFormat::kOriginal, "block_rounding: 32"},
      {layer_spans, ExportFormat::kOriginal, "adapt_span_layer: true"},
      {FairseqAdaptiveSpan(), ExportFormat::kHuggingFace,
       "architecture: adaptive_span"},
      {TinyTransformerXlFields(), ExportFormat::kOriginal,
       "architecture: transformer_xl"},
      {empty, ExportFormat::kFairseq, "memory_start: empty"},
      {empty, ExportFormat::kHuggingFace, "memory_start: empty"},
  };
  for (const auto& c : cases) {
    EXPECT_THAT(Export(TinyContents(c.fields), c.format, "out"),
                StatusIs(absl::StatusCode::kFailedPrecondition, c.message));
    EXPECT_FALSE(std::filesystem::exists(folder_.File("out")));
  }
}

TEST_F(ExportTest, FairseqGetsADictionaryAndTheBytesOwnRows) {
  ModelFields fields = FairseqAdaptiveSpan();
  fields.symbols = {65, 10, 66, 67};
  const ModelContents contents = TinyContents(fields);
  const std::vector<float> rows = FloatsOf(contents)["in_emb.weight"];
  ImportOptions options;
  options.dictionary_path = folder_.File("dict.txt");

  ASSERT_OK_AND_ASSIGN(const ModelContents back,
                       RoundTrip(contents, ExportFormat::kFairseq, options));

  ASSERT_EQ(back.fields.symbols.size(), 8U);
  EXPECT_EQ(back.fields.symbols[2], 10);
  EXPECT_EQ(back.fields.symbols[4], 65);
  EXPECT_EQ(back.fields.symbols[6], 67);
  const std::vector<float> moved = FloatsOf(back)["in_emb.weight"];
  for (int i = 0; i < fields.d_model; ++i) {
    EXPECT_EQ(moved[0 * fields.d_model + i], 0);
    EXPECT_EQ(moved[2 * fields.d_model + i], rows[1 * fields.d_model + i]);
    EXPECT_EQ(moved[4 * fields.d_model + i], rows[i]);
  }
  EXPECT_EQ(FloatsOf(back)["out_emb.bias"][0], -1e4F);
}

TEST_F(ExportTest, TheOriginalCodeGetsATextThatFixesItsSymbols) {
  ModelFields fields = PublishedAdaptiveSpan();
  const std::vector<std::optional<uint8_t>> orders[] = {
      {10, 65, 66, 67}, {65, 10, 66, 67}, {65, 66, 67, 10}};
  for (const auto& symbols : orders) {
    const TempDir folder;
    fields.symbols = symbols;
    ASSERT_OK(WriteModelDir(folder.File("model"), TinyContents(fields)));
    ASSERT_OK_AND_ASSIGN(const ModelDir model,
                         ModelDir::Open(folder.File("model")));
    ASSERT_OK(ExportModel(model, ExportFormat::kOriginal, folder.File("o.pt")));
    ImportOptions options;
    options.vocabulary_text_path = folder.File("vocab.txt");

    ASSERT_OK_AND_ASSIGN(const ModelContents back,
                         ImportModel(folder.File("o.pt"), options));

    EXPECT_EQ(back.fields.symbols, symbols);
  }
}

TEST_F(ExportTest, KeepsADictionaryOfTheSameSymbolsAndNoOther) {
  ModelFields fields = FairseqAdaptiveSpan();
  fields.symbols = {std::nullopt, std::nullopt, 10, std::nullopt};
  fields.unknown_symbol = 3;
  fields.vocab_size = 5;
  fields.symbols.emplace_back(65);
  folder_.Write("dict.txt", "65 1234\n");
  ASSERT_OK(Export(TinyContents(fields), ExportFormat::kFairseq, "a.pt"));
  EXPECT_EQ(ReadFile(folder_.File("dict.txt")), "65 1234\n");

  folder_.Write("dict.txt", "66 1234\n");
  EXPECT_THAT(Export(TinyContents(fields), ExportFormat::kFairseq, "b.pt"),
              StatusIs(absl::StatusCode::kFailedPrecondition, "dict.txt"));
  EXPECT_FALSE(std::filesystem::exists(folder_.File("b.pt")));
}

TEST_F(ExportTest, WritesNothingOverAnythingElse) {
  const ModelContents xl = TinyContents(TinyTransformerXlFields());

  EXPECT_THAT(Export(xl, ExportFormat::kFairseq, "model"),
              StatusIs(absl::StatusCode::kFailedPrecondition, "is a folder"));
  EXPECT_THAT(
      Export(xl, ExportFormat::kHuggingFace, "model"),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               AllOf(HasSubstr("model"), HasSubstr("pytorch_model.bin"))));
  EXPECT_OK(ModelDir::Open(folder_.File("model")));
  EXPECT_THAT(Export(xl, ExportFormat::kFairseq, "nowhere/x.pt"),
              StatusIs(absl::StatusCode::kUnavailable, "nowhere"));
  EXPECT_OK(Export(xl, ExportFormat::kHuggingFace, "hf"));
  EXPECT_OK(Export(xl, ExportFormat::kHuggingFace, "hf"));
}

TEST(ParseExportFormatTest, NamesWhatItDoesNotKnow) {
  EXPECT_OK(ParseExportFormat("huggingface"));
  EXPECT_THAT(ParseExportFormat("onnx"),
              StatusIs(absl::StatusCode::kInvalidArgument, "onnx"));
}

}  // namespace
}  // namespace spanlm
