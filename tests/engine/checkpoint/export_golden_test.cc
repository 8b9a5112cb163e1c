// SPDX-License-Identifier: Apache-2.0
// Published checkpoints to model directories, back to checkpoints, and once
// more to models.
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "engine/checkpoint/export/export.h"
#include "engine/checkpoint/import/import.h"
#include "engine/checkpoint/model_dir.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/golden_path.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

std::map<std::string, std::vector<float>> FloatsOf(
    const ModelContents& contents) {
  std::map<std::string, std::vector<float>> floats;
  for (const TensorData& tensor : contents.tensors) {
    floats[tensor.name] = *ToFloats(tensor.view());
  }
  return floats;
}

struct Case {
  const char* file;
  const char* dictionary;  // nullptr: none
  ExportFormat format;
};

// gtest would print its bytes.
void PrintTo(const Case& c, std::ostream* os) { *os << c.file; }

class ExportGoldenTest : public testing::TestWithParam<Case> {
 protected:
  absl::StatusOr<ModelContents> ImportGolden() {
    ImportOptions options;
    if (GetParam().dictionary != nullptr) {
      options.dictionary_path = GoldenPath(GetParam().dictionary);
    }
    return ImportModel(GoldenPath(GetParam().file), options);
  }

  absl::StatusOr<ExportReport> Export(const ModelContents& contents) {
    absl::Status status = WriteModelDir(folder_.File("model"), contents);
    if (!status.ok()) return status;
    absl::StatusOr<ModelDir> model = ModelDir::Open(folder_.File("model"));
    if (!model.ok()) return model.status();
    return ExportModel(*model, GetParam().format, folder_.File("out"));
  }

  const TempDir folder_;
};

TEST_P(ExportGoldenTest, ComesBackBitByBit) {
  if (!std::filesystem::exists(GoldenPath(GetParam().file))) {
    GTEST_SKIP() << GetParam().file << " is not in this choice of the vectors";
  }
  ASSERT_OK_AND_ASSIGN(const ModelContents want, ImportGolden());
  ImportOptions options;
  // Hugging Face's files have no place for symbols: theirs are told again.
  if (GetParam().dictionary != nullptr) {
    options.dictionary_path = GetParam().format == ExportFormat::kFairseq
                                  ? folder_.File("dict.txt")
                                  : GoldenPath(GetParam().dictionary);
  }

  ASSERT_OK_AND_ASSIGN(const ExportReport report, Export(want));
  ASSERT_OK_AND_ASSIGN(ModelContents back,
                       ImportModel(report.files[0], options));

  EXPECT_EQ(FloatsOf(back), FloatsOf(want));
  back.fields.family = want.fields.family;
  ASSERT_OK_AND_ASSIGN(const ModelConfig got, ModelConfig::Create(back.fields));
  ASSERT_OK_AND_ASSIGN(const ModelConfig expected,
                       ModelConfig::Create(want.fields));
  EXPECT_EQ(got.ToJson(), expected.ToJson());
}

INSTANTIATE_TEST_SUITE_P(
    Files, ExportGoldenTest,
    testing::Values(
        Case{"adaptive_span_o.pt", nullptr, ExportFormat::kOriginal},
        Case{"adaptive_span_o_zip.pt", nullptr, ExportFormat::kOriginal},
        Case{"adaptive_span_f.pt", "adaptive_span_f.dict.txt",
             ExportFormat::kFairseq},
        Case{"adaptive_span_f_fp16.pt", nullptr, ExportFormat::kFairseq},
        Case{"transformer_xl_f.pt", "transformer_xl_f.dict.txt",
             ExportFormat::kFairseq},
        Case{"transformer_xl_f.pt", "transformer_xl_f.dict.txt",
             ExportFormat::kHuggingFace},
        Case{"transformer_xl_f_fp16.pt", nullptr, ExportFormat::kFairseq},
        Case{"transformer_xl_f_fp16_upcast.pt", nullptr,
             ExportFormat::kHuggingFace},
        Case{"transformer_xl_hf", nullptr, ExportFormat::kHuggingFace},
        Case{"transformer_xl_hf", nullptr, ExportFormat::kFairseq}));

TEST(ExportGoldenFactsTest, KimiyoungsStartIsNoneThatAFormatHolds) {
  const TempDir folder;
  ASSERT_OK_AND_ASSIGN(
      ModelContents contents,
      ImportModel(GoldenPath("transformer_xl_k_legacy.pt"), {}));
  ASSERT_OK(WriteModelDir(folder.File("empty"), contents));
  contents.fields.memory_start = MemoryStart::kZero;
  ASSERT_OK(WriteModelDir(folder.File("zero"), contents));
  ASSERT_OK_AND_ASSIGN(const ModelDir empty,
                       ModelDir::Open(folder.File("empty")));
  ASSERT_OK_AND_ASSIGN(const ModelDir zero,
                       ModelDir::Open(folder.File("zero")));

  EXPECT_THAT(
      ExportModel(empty, ExportFormat::kHuggingFace, folder.File("hf")),
      StatusIs(absl::StatusCode::kFailedPrecondition, "memory_start: empty"));
  ASSERT_OK(ExportModel(zero, ExportFormat::kHuggingFace, folder.File("hf")));
  ASSERT_OK_AND_ASSIGN(const ModelContents back,
                       ImportModel(folder.File("hf"), {}));
  auto got = FloatsOf(back);
  auto want = FloatsOf(contents);
  EXPECT_EQ(got["layers.2.dec_attn.r_w_bias"], want["r_w_bias"]);
  EXPECT_EQ(got["layers.1.pos_ff.CoreNet.3.weight"],
            want["layers.1.pos_ff.CoreNet.3.weight"]);
}

}  // namespace
}  // namespace spanlm
