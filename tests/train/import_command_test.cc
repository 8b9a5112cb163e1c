// SPDX-License-Identifier: Apache-2.0
#include "train/commands/import.h"

#include <sstream>
#include <string>

#include "absl/status/status.h"
#include "engine/checkpoint/model_dir.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/golden_case.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/train/tiny_model.h"

namespace spanlm {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ImportCommandTest : public ::testing::Test {
 protected:
  ImportCommandTest() {
    options_.source = folder_.File("source");
    options_.destination = folder_.File("model");
  }

  absl::StatusOr<std::string> Run() {
    std::ostringstream out;
    const absl::Status status = RunImport(options_, out);
    if (!status.ok()) return status;
    return out.str();
  }

  const TempDir folder_;
  ImportCommandOptions options_;
};

using ImportCommandGoldenTest = ImportCommandTest;

TEST_F(ImportCommandTest, ChangesSettingsOfOurOwnModel) {
  ASSERT_OK(WriteTinyModel(TinyTransformerXl(), 1, options_.source));
  options_.settings = {"mem_len=40", "clamp_len=20"};

  ASSERT_OK(Run());

  ASSERT_OK_AND_ASSIGN(const ModelDir model,
                       ModelDir::Open(options_.destination));
  EXPECT_EQ(model.config()->mem_len, 40);
  EXPECT_EQ(model.config()->clamp_len, 20);
  EXPECT_EQ(model.config()->d_model, 16);
}

TEST_F(ImportCommandTest, SaysFamilyParametersAndSpans) {
  ASSERT_OK(WriteTinyModel(TinyAdaptiveSpan(), 1, options_.source));

  ASSERT_OK_AND_ASSIGN(const std::string out, Run());

  EXPECT_THAT(out, HasSubstr("adaptive_span model of family native"));
  EXPECT_THAT(out, HasSubstr(" parameters, digest "));
  EXPECT_THAT(out, HasSubstr("layer 0: spans [6.4, 38.4]"));
  EXPECT_THAT(out, Not(HasSubstr("note:")));
}

TEST_F(ImportCommandTest, NotesTheDefaultMask) {
  ModelFields fields = TinyTransformerXl();
  fields.same_length = false;
  ASSERT_OK(WriteTinyModel(fields, 1, options_.source));

  ASSERT_OK_AND_ASSIGN(const std::string out, Run());

  EXPECT_THAT(out, HasSubstr("--set same_length=true --set mem_len="));
}

TEST_F(ImportCommandTest, RoundsParametersButNotMasksAndSpans) {
  ASSERT_OK(WriteTinyModel(TinyAdaptiveSpan(), 1, options_.source));
  options_.dtype = "bf16";

  ASSERT_OK(Run());

  ASSERT_OK_AND_ASSIGN(const ModelDir before, ModelDir::Open(options_.source));
  ASSERT_OK_AND_ASSIGN(const ModelDir after,
                       ModelDir::Open(options_.destination));
  for (const std::string& name : before.names()) {
    ASSERT_OK_AND_ASSIGN(const TensorView old_tensor, before.Find(name));
    ASSERT_OK_AND_ASSIGN(const TensorView new_tensor, after.Find(name));
    const bool is_kept = name.find("_mask.") != std::string::npos;
    EXPECT_EQ(new_tensor.dtype, is_kept ? DType::kF32 : DType::kBF16) << name;
    ASSERT_OK_AND_ASSIGN(const auto old_values, ToFloats(old_tensor));
    ASSERT_OK_AND_ASSIGN(const auto new_values, ToFloats(new_tensor));
    ASSERT_EQ(old_values.size(), new_values.size());
    for (size_t i = 0; i < old_values.size(); ++i) {
      // bfloat16 keeps 8 bits of the mantissa.
      ASSERT_NEAR(new_values[i], old_values[i],
                  is_kept ? 0 : std::abs(old_values[i]) / 256)
          << name;
    }
  }
}

TEST_F(ImportCommandTest, RefusesBadFlagsAndNamesThem) {
  ASSERT_OK(WriteTinyModel(TinyTransformerXl(), 1, options_.source));
  for (const char* setting :
       {"mem_len", "=3", "mem_len=many", "no_such_field=1"}) {
    options_.settings = {setting};
    EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kInvalidArgument)) << setting;
  }
  options_.settings = {"mem_len=3", "mem_len=4"};
  EXPECT_THAT(Run(), StatusIs(absl::StatusCode::kInvalidArgument, "twice"));
  options_.settings.clear();
  options_.dtype = "fp64";
  EXPECT_THAT(Run(),
              StatusIs(absl::StatusCode::kInvalidArgument, "--dtype fp64"));
}

TEST_F(ImportCommandTest, NamesAFileThatIsMissingOrNoCheckpoint) {
  EXPECT_THAT(Run(),
              StatusIs(absl::StatusCode::kNotFound, options_.source.c_str()));

  folder_.Write("source", "not a checkpoint at all");
  EXPECT_THAT(Run(), Not(IsOk()));
  EXPECT_THAT(std::string(Run().status().message()), HasSubstr("source"));
}

TEST_F(ImportCommandGoldenTest, TakesFairseqsDictionary) {
  options_.source = GoldenPath("adaptive_span_f.pt");
  options_.dictionary = GoldenPath("adaptive_span_f.dict.txt");

  ASSERT_OK_AND_ASSIGN(const std::string out, Run());

  EXPECT_THAT(out, HasSubstr("family fairseq"));
  EXPECT_THAT(out, Not(HasSubstr("token model")));
  ASSERT_OK_AND_ASSIGN(const ModelDir model,
                       ModelDir::Open(options_.destination));
  EXPECT_TRUE(model.config().knows_bytes());
  EXPECT_EQ(model.config()->symbols[2], uint8_t{10});  // </s>
  EXPECT_EQ(model.config()->unknown_symbol, 3);
}

TEST_F(ImportCommandGoldenTest, NotesTheRampAndTheUnknownBytesOfTheOriginal) {
  options_.source = GoldenPath("adaptive_span_o.pt");

  ASSERT_OK_AND_ASSIGN(const std::string assumed, Run());
  options_.settings = {"ramp=32"};
  ASSERT_OK_AND_ASSIGN(const std::string told, Run());

  EXPECT_THAT(assumed, HasSubstr("the ramp; taken as 32"));
  EXPECT_THAT(assumed, HasSubstr("this is a token model"));
  EXPECT_THAT(told, Not(HasSubstr("the ramp; taken as")));
}

TEST_F(ImportCommandGoldenTest, ContainersOfAModelGiveOneDigest) {
  if (!IsThere("adaptive_span_o_zip.pt")) {
    GTEST_SKIP() << "adaptive_span_o_zip.pt is absent from this set";
  }
  options_.source = GoldenPath("adaptive_span_o.pt");
  ASSERT_OK(Run());
  ASSERT_OK_AND_ASSIGN(const ModelDir stream,
                       ModelDir::Open(options_.destination));
  const std::string digest = stream.digest();

  options_.source = GoldenPath("adaptive_span_o_zip.pt");
  ASSERT_OK(Run());

  ASSERT_OK_AND_ASSIGN(const ModelDir zip,
                       ModelDir::Open(options_.destination));
  EXPECT_EQ(zip.digest(), digest);
}

}  // namespace
}  // namespace spanlm
