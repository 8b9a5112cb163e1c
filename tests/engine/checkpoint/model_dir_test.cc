// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/model_dir.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "engine/checkpoint/digest.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/checkpoint/tiny_contents.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

std::vector<std::string> EntriesOf(const std::string& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// A folder holding the tiny model "m".
class ModelDirTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_OK(WriteModelDir(path_, TinyContents(TinyAdaptiveSpanFields())));
  }

  const TempDir folder_;
  const std::string path_ = folder_.File("m");
};

TEST_F(ModelDirTest, ReadsBackWhatItWrote) {
  for (const ModelFields& fields :
       {TinyAdaptiveSpanFields(), TinyTransformerXlFields()}) {
    const std::vector<TensorData> tensors = TinyTensors(fields);
    ModelContents contents;
    contents.fields = fields;
    contents.tensors = tensors;
    ASSERT_OK(WriteModelDir(path_, contents));

    ASSERT_OK_AND_ASSIGN(const ModelDir model, ModelDir::Open(path_));

    EXPECT_EQ(model.config()->d_inner, fields.d_inner);
    EXPECT_EQ(model.names().size(), tensors.size());
    for (const TensorData& tensor : tensors) {
      ASSERT_OK_AND_ASSIGN(const TensorView view, model.Find(tensor.name));
      EXPECT_EQ(view.shape, tensor.shape);
      EXPECT_EQ(view.bytes, tensor.view().bytes) << tensor.name;
    }
  }
}

TEST_F(ModelDirTest, IsNamedByItsConfigWhichNamesItsWeights) {
  ASSERT_OK_AND_ASSIGN(const ModelDir model, ModelDir::Open(path_));

  EXPECT_EQ(model.path(), path_);
  EXPECT_EQ(model.digest(), Sha256Hex(ReadFile(path_ + "/config.json")));
  EXPECT_EQ(model.config()->weights_sha256,
            Sha256Hex(ReadFile(path_ + "/model.safetensors")));
  EXPECT_EQ(model.parameter_count(), 278);
}

TEST_F(ModelDirTest, EqualModelsAreEqualFiles) {
  ASSERT_OK(
      WriteModelDir(folder_.File("n"), TinyContents(TinyAdaptiveSpanFields())));

  for (const char* name : {"/config.json", "/model.safetensors"}) {
    EXPECT_EQ(ReadFile(path_ + name), ReadFile(folder_.File("n") + name));
  }
}

TEST_F(ModelDirTest, WritesExtraFilesAndLeavesNoOthers) {
  ModelContents contents = TinyContents(TinyTransformerXlFields());
  contents.extra_files["state.bin"] = "state";

  ASSERT_OK(WriteModelDir(path_ + "/", contents));

  EXPECT_EQ(ReadFile(path_ + "/state.bin"), "state");
  EXPECT_THAT(EntriesOf(path_),
              ElementsAre("config.json", "model.safetensors", "state.bin"));
  EXPECT_THAT(EntriesOf(folder_.path()), ElementsAre("m"));
}

TEST_F(ModelDirTest, ReplacesAModelWhole) {
  ModelContents contents = TinyContents(TinyAdaptiveSpanFields());
  contents.extra_files["old.bin"] = "old";
  ASSERT_OK(WriteModelDir(path_, contents));
  ASSERT_OK_AND_ASSIGN(const ModelDir old, ModelDir::Open(path_));

  ASSERT_OK(WriteModelDir(path_, TinyContents(TinyTransformerXlFields())));

  ASSERT_OK_AND_ASSIGN(const ModelDir model, ModelDir::Open(path_));
  EXPECT_EQ(model.config()->architecture, Architecture::kTransformerXl);
  EXPECT_FALSE(std::filesystem::exists(path_ + "/old.bin"));
  EXPECT_THAT(EntriesOf(folder_.path()), ElementsAre("m"));
  EXPECT_OK(old.Find("key_pe"));  // still mapped
}

TEST_F(ModelDirTest, KeepsTheOldModelWhenTheNewOneIsRefused) {
  const std::string before = ReadFile(path_ + "/config.json");
  ModelContents bad_field = TinyContents(TinyAdaptiveSpanFields());
  bad_field.fields.n_layer = 3;
  ModelContents bad_tensor = TinyContents(TinyAdaptiveSpanFields());
  bad_tensor.tensors[0].bytes.pop_back();
  ModelContents bad_file = TinyContents(TinyAdaptiveSpanFields());
  bad_file.extra_files["../up"] = "";

  EXPECT_THAT(WriteModelDir(path_, bad_field),
              StatusIs(absl::StatusCode::kInvalidArgument, "layers.2."));
  EXPECT_THAT(WriteModelDir(path_, bad_tensor),
              StatusIs(absl::StatusCode::kInvalidArgument, "key_pe"));
  EXPECT_THAT(WriteModelDir(path_, bad_file),
              StatusIs(absl::StatusCode::kInvalidArgument, "../up"));
  EXPECT_EQ(ReadFile(path_ + "/config.json"), before);
  EXPECT_THAT(EntriesOf(folder_.path()), ElementsAre("m"));
}

TEST_F(ModelDirTest, RefusesExtraFilesOfOurOwnNames) {
  for (const char* name : {"", ".", "..", "config.json", "model.safetensors"}) {
    ModelContents contents = TinyContents(TinyAdaptiveSpanFields());
    contents.extra_files[name] = "x";

    EXPECT_THAT(WriteModelDir(path_, contents),
                StatusIs(absl::StatusCode::kInvalidArgument, "extra file"));
  }
}

TEST_F(ModelDirTest, RefusesToReplaceWhatIsNoModel) {
  std::filesystem::create_directory(folder_.File("photos"));
  folder_.Write("photos/cat.jpg", "meow");
  folder_.Write("file", "text");

  for (const char* name : {"photos", "file"}) {
    EXPECT_THAT(WriteModelDir(folder_.File(name),
                              TinyContents(TinyAdaptiveSpanFields())),
                StatusIs(absl::StatusCode::kFailedPrecondition, name));
  }
  EXPECT_EQ(ReadFile(folder_.File("photos/cat.jpg")), "meow");
  EXPECT_EQ(ReadFile(folder_.File("file")), "text");
}

TEST_F(ModelDirTest, SaysWhereItCannotWrite) {
  const std::string path = folder_.File("missing/m");

  EXPECT_THAT(WriteModelDir(path, TinyContents(TinyAdaptiveSpanFields())),
              StatusIs(absl::StatusCode::kUnavailable, path.c_str()));
}

TEST_F(ModelDirTest, LeavesNothingBehindWhenTheDiskRefuses) {
  // A name too long to be created fails after the temporary folder is there.
  ModelContents contents = TinyContents(TinyAdaptiveSpanFields());
  contents.extra_files[std::string(300, 'n')] = "x";

  EXPECT_THAT(WriteModelDir(path_, contents),
              StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_THAT(EntriesOf(folder_.path()), ElementsAre("m"));
  EXPECT_OK(ModelDir::Open(path_));
}

TEST_F(ModelDirTest, NamesWhatIsMissing) {
  EXPECT_THAT(ModelDir::Open(folder_.File("none")),
              StatusIs(absl::StatusCode::kNotFound, "none/config.json"));

  std::filesystem::remove(path_ + "/model.safetensors");
  EXPECT_THAT(ModelDir::Open(path_),
              StatusIs(absl::StatusCode::kNotFound, "m/model.safetensors"));
}

TEST_F(ModelDirTest, TellsAnotherVersionFromADamagedConfig) {
  std::string text = ReadFile(path_ + "/config.json");
  text.replace(text.find("\"format_version\": 1"), 19, "\"format_version\": 2");
  folder_.Write("m/config.json", text);
  EXPECT_THAT(ModelDir::Open(path_),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       AllOf(HasSubstr("m/config.json"),
                             HasSubstr("format_version: 2"))));

  folder_.Write("m/config.json", text.substr(0, 100));
  EXPECT_THAT(ModelDir::Open(path_),
              StatusIs(absl::StatusCode::kDataLoss, "m/config.json"));

  folder_.Write("m/config.json", std::string((1 << 22) + 1, ' '));
  EXPECT_THAT(ModelDir::Open(path_),
              StatusIs(absl::StatusCode::kDataLoss, "want at most"));
}

TEST_F(ModelDirTest, RefusesOtherWeightsThanTheConfigs) {
  ASSERT_OK(WriteModelDir(folder_.File("n"),
                          TinyContents(TinyTransformerXlFields())));
  std::filesystem::copy_file(folder_.File("n/model.safetensors"),
                             path_ + "/model.safetensors",
                             std::filesystem::copy_options::overwrite_existing);

  EXPECT_THAT(
      ModelDir::Open(path_),
      StatusIs(absl::StatusCode::kDataLoss,
               AllOf(HasSubstr("m/model.safetensors"), HasSubstr("SHA-256"))));
}

// Digests fit, shapes do not: a config edited by hand.
TEST_F(ModelDirTest, RefusesWeightsThatDoNotFitTheConfig) {
  std::string text = ReadFile(path_ + "/config.json");
  text.replace(text.find("\"d_inner\": 3"), 12, "\"d_inner\": 5");
  folder_.Write("m/config.json", text);

  EXPECT_THAT(ModelDir::Open(path_),
              StatusIs(absl::StatusCode::kDataLoss,
                       AllOf(HasSubstr("m/model.safetensors"),
                             HasSubstr("has shape [3, 4], want [5, 4]"))));
}

}  // namespace
}  // namespace spanlm
