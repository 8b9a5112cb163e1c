// SPDX-License-Identifier: Apache-2.0
#include "train/commands/export.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/engine.h"
#include "engine/symbol_map.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/engine_reader.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/train/tiny_model.h"
#include "train/commands/import.h"

namespace spanlm {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// Other sums in the last product and over more symbols, all of them float32.
constexpr double kRounding = 2e-6;

// ln P of each of the 256 bytes after each byte of a text, by the engine.
absl::StatusOr<std::vector<float>> ByteLogProbs(const std::string& model,
                                                const std::string& text) {
  EngineOptions options;
  options.threads = 1;
  absl::StatusOr<std::unique_ptr<Engine>> engine = CreateEngine(model, options);
  if (!engine.ok()) return engine.status();
  const absl::StatusOr<SymbolMap> map = SymbolMap::Create((*engine)->config());
  if (!map.ok()) return map.status();
  std::vector<uint16_t> symbols;
  const absl::Status status = map->Encode(text, &symbols);
  if (!status.ok()) return status;
  const std::vector<float> all = ReadText(engine->get(), symbols, {64});
  const size_t width = (*engine)->config()->vocab_size;
  std::vector<float> bytes;
  for (size_t i = 0; i + width <= all.size(); i += width) {
    const auto row =
        map->ByteLogProbs(absl::MakeConstSpan(all).subspan(i, width));
    bytes.insert(bytes.end(), row.begin(), row.end());
  }
  return bytes;
}

std::string Text(size_t size) {
  std::string text;
  uint32_t seed = 1;
  for (size_t i = 0; i < size; ++i) {
    seed = seed * 1664525 + 1013904223;
    text += static_cast<char>(seed >> 24);
  }
  return text;
}

ModelFields FairseqSpan() {
  ModelFields fields = TinyAdaptiveSpan();
  fields.renormalize = false;
  return fields;
}

class ExportCommandTest : public testing::Test {
 protected:
  absl::StatusOr<std::string> Run(const std::string& format,
                                  const std::string& destination) {
    std::ostringstream out;
    const absl::Status status = RunExport(
        {folder_.File("model"), folder_.File(destination), format}, out);
    if (!status.ok()) return status;
    return out.str();
  }

  const TempDir folder_;
};

TEST_F(ExportCommandTest, BytesScoreAsTheyDidWhenTheyComeBackFromFairseq) {
  for (const ModelFields& fields : {FairseqSpan(), TinyTransformerXl()}) {
    const TempDir folder;
    ASSERT_OK(WriteTinyModel(fields, 3, folder.File("model")));
    std::ostringstream out;
    ASSERT_OK(
        RunExport({folder.File("model"), folder.File("x.pt"), "fairseq"}, out));
    ImportCommandOptions import;
    import.source = folder.File("x.pt");
    import.destination = folder.File("back");
    import.dictionary = folder.File("dict.txt");
    ASSERT_OK(RunImport(import, out));

    const std::string text = Text(400);
    ASSERT_OK_AND_ASSIGN(const std::vector<float> want,
                         ByteLogProbs(folder.File("model"), text));
    ASSERT_OK_AND_ASSIGN(const std::vector<float> got,
                         ByteLogProbs(folder.File("back"), text));

    ASSERT_EQ(got.size(), 400U * 256U);
    ASSERT_EQ(want.size(), got.size());
    double worst = 0;
    for (size_t i = 0; i < got.size(); ++i) {
      worst = std::max(worst, std::abs(double{got[i]} - double{want[i]}));
    }
    EXPECT_LT(worst, kRounding);
  }
}

TEST_F(ExportCommandTest, SaysWhatItWroteAndWhatItsUserHasToKnow) {
  ASSERT_OK(WriteTinyModel(TinyAdaptiveSpan(), 1, folder_.File("model")));

  ASSERT_OK_AND_ASSIGN(const std::string out, Run("original", "o.pt"));

  EXPECT_THAT(out, AllOf(HasSubstr("o.pt, "), HasSubstr("vocab.txt, "),
                         HasSubstr("--attn-span 128"),
                         HasSubstr("--adapt-span-ramp 32")));
  EXPECT_EQ(ReadFile(folder_.File("vocab.txt")).substr(0, 23),
            "0 1 2 3 4 5 6 7 8 9\n11 ");
}

TEST_F(ExportCommandTest, NamesTheModelAndTheFieldThatAFormatHasNot) {
  ASSERT_OK(WriteTinyModel(TinyAdaptiveSpan(), 1, folder_.File("model")));

  EXPECT_THAT(
      Run("fairseq", "x.pt"),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               AllOf(HasSubstr("model"), HasSubstr("renormalize: true"))));
  EXPECT_THAT(Run("onnx", "x.pt"),
              StatusIs(absl::StatusCode::kInvalidArgument, "--format"));
}

}  // namespace
}  // namespace spanlm
