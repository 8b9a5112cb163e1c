// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/import/import.h"

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/checkpoint/pickle_text.h"
#include "tests/engine/checkpoint/tiny_contents.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

using testing::AllOf;
using testing::HasSubstr;
namespace text = pickle_text;

// What the published code can hold: windows are multiples of 64.
ModelFields PublishedAdaptiveSpan() {
  ModelFields fields = TinyAdaptiveSpanFields();
  fields.attn_span = 64;
  fields.block_rounding = 64;
  fields.ramp = 32;
  return fields;
}

ImportOptions With(const std::map<std::string, std::string>& settings) {
  ImportOptions options;
  options.settings = settings;
  return options;
}

// Hugging Face and fairseq write everything but the output layer below
// "transformer.".
std::string TransformerDict(const std::vector<TensorData>& tensors,
                            const std::string& prefix,
                            text::Storages* storages) {
  std::vector<TensorData> renamed = tensors;
  for (TensorData& tensor : renamed) {
    if (tensor.name.rfind("crit.", 0) != 0) {
      tensor.name = "transformer." + tensor.name;
    }
  }
  return text::StateDict(renamed, prefix, storages);
}

class ImportTest : public testing::Test {
 protected:
  std::string Write(const std::string& value) {
    return folder_.Write("f.pt", text::TorchZip(value, storages_));
  }
  std::string WriteOriginal(const std::vector<TensorData>& tensors) {
    return Write(text::Dict(
        {{"iter_no", text::Int(2)},
         {"model", text::StateDict(tensors, "module.", &storages_)}}));
  }
  std::string WriteFairseq(const std::string& model,
                           const std::string& arguments) {
    return Write(text::Dict({{"args", text::None()},
                             {"cfg", text::Dict({{"model", arguments}})},
                             {"model", model}}));
  }

  const TempDir folder_;
  text::Storages storages_;
};

void ExpectSameTensors(const ModelContents& contents,
                       const std::vector<TensorData>& want) {
  std::map<std::string, std::string> got;
  for (const TensorData& tensor : contents.tensors) {
    got[tensor.name] = tensor.bytes;
  }
  EXPECT_EQ(got.size(), want.size());
  for (const TensorData& tensor : want) {
    EXPECT_EQ(got[tensor.name], tensor.bytes) << tensor.name;
  }
}

TEST_F(ImportTest, ReadsTheOriginalCode) {
  const std::vector<TensorData> tensors = TinyTensors(PublishedAdaptiveSpan());

  ASSERT_OK_AND_ASSIGN(const ModelContents contents,
                       ImportModel(WriteOriginal(tensors), {}));

  ExpectSameTensors(contents, tensors);
  EXPECT_EQ(contents.fields.family, Family::kOriginal);
  EXPECT_EQ(contents.fields.n_layer, 2);
  EXPECT_EQ(contents.fields.n_head, 2);
  EXPECT_EQ(contents.fields.d_head, 2);
  EXPECT_EQ(contents.fields.d_inner, 3);
  EXPECT_EQ(contents.fields.vocab_size, 4);
  EXPECT_EQ(contents.fields.attn_span, 64);
  EXPECT_EQ(contents.fields.ramp, 32);
  EXPECT_TRUE(contents.is_ramp_assumed);
  EXPECT_TRUE(contents.fields.renormalize);
  EXPECT_TRUE(contents.fields.symbols.empty());
}

TEST_F(ImportTest, ReadsOneSpanForALayer) {
  ModelFields fields = PublishedAdaptiveSpan();
  fields.adapt_span_layer = true;
  const std::vector<TensorData> tensors = TinyTensors(fields);

  ASSERT_OK_AND_ASSIGN(const ModelContents contents,
                       ImportModel(WriteOriginal(tensors), {}));

  EXPECT_TRUE(contents.fields.adapt_span_layer);
  EXPECT_EQ(contents.fields.n_head, 2);
}

TEST_F(ImportTest, AppliesSettingsAndSymbols) {
  const std::string path = WriteOriginal(TinyTensors(PublishedAdaptiveSpan()));
  ImportOptions options = With({{"ramp", "16"}, {"renormalize", "false"}});
  options.vocabulary_text_path = folder_.Write("train.txt", "abc");

  ASSERT_OK_AND_ASSIGN(const ModelContents contents,
                       ImportModel(path, options));

  EXPECT_EQ(contents.fields.ramp, 16);
  EXPECT_FALSE(contents.fields.renormalize);
  EXPECT_EQ(contents.fields.symbols[3], 10);
}

TEST_F(ImportTest, TellsABadSettingFromABadFile) {
  const std::string path = WriteOriginal(TinyTensors(PublishedAdaptiveSpan()));

  EXPECT_THAT(ImportModel(path, With({{"ramp", "0"}})),
              StatusIs(absl::StatusCode::kInvalidArgument, "ramp: 0"));
  EXPECT_THAT(ImportModel(path, With({{"speed", "9"}})),
              StatusIs(absl::StatusCode::kInvalidArgument, "speed"));
  EXPECT_THAT(ImportModel(path, With({{"n_layer", "3"}})),
              StatusIs(absl::StatusCode::kDataLoss,
                       AllOf(HasSubstr("f.pt"), HasSubstr("layers.2."),
                             HasSubstr("is missing"))));
  ImportOptions both;
  both.dictionary_path = both.vocabulary_text_path = path;
  EXPECT_THAT(ImportModel(path, both),
              StatusIs(absl::StatusCode::kInvalidArgument, "one of them"));
}

TEST_F(ImportTest, NamesEachMissingTensor) {
  const std::vector<TensorData> whole = TinyTensors(PublishedAdaptiveSpan());
  for (size_t i = 0; i < whole.size(); ++i) {
    // Optional, or what the family is known by.
    if (whole[i].name.find("mask_template") != std::string::npos ||
        whole[i].name == "key_pe") {
      continue;
    }
    std::vector<TensorData> tensors = whole;
    tensors.erase(tensors.begin() + static_cast<ptrdiff_t>(i));
    storages_.clear();
    const std::string message = "tensor " + whole[i].name + " is missing";
    EXPECT_THAT(ImportModel(WriteOriginal(tensors), {}),
                StatusIs(absl::StatusCode::kDataLoss,
                         AllOf(HasSubstr("f.pt"), HasSubstr(message))));
  }
}

TEST_F(ImportTest, NamesMisshapenAndStrangeTensors) {
  std::vector<TensorData> tensors = TinyTensors(PublishedAdaptiveSpan());
  for (TensorData& tensor : tensors) {
    if (tensor.name == "layers.1.norm2.bias") tensor.shape = {2, 2};
  }
  EXPECT_THAT(ImportModel(WriteOriginal(tensors), {}),
              StatusIs(absl::StatusCode::kDataLoss,
                       "tensor layers.1.norm2.bias has shape [2, 2], want "
                       "[4]"));

  tensors = TinyTensors(PublishedAdaptiveSpan());
  tensors.push_back(tensors[0]);
  tensors.back().name = "adapter.weight";
  storages_.clear();
  EXPECT_THAT(ImportModel(WriteOriginal(tensors), {}),
              StatusIs(absl::StatusCode::kFailedPrecondition,
                       "tensor adapter.weight is not part"));
}

TEST_F(ImportTest, RefusesPersistentMemoryByName) {
  std::vector<TensorData> tensors = TinyTensors(PublishedAdaptiveSpan());
  tensors.push_back(tensors[0]);
  tensors.back().name = "layers.0.attn.attn.persistent_memory.key";

  EXPECT_THAT(
      ImportModel(WriteOriginal(tensors), {}),
      StatusIs(absl::StatusCode::kFailedPrecondition,
               AllOf(HasSubstr("f.pt"), HasSubstr("persistent memory"))));
}

TEST_F(ImportTest, ReadsFairseqsAdaptiveSpan) {
  const std::vector<TensorData> tensors = TinyTensors(PublishedAdaptiveSpan());
  const std::string arguments = text::Dict(
      {{"adapt_span_ramp", text::Int(8)}, {"vocab_size", text::Int(50)}});
  // Hyperparameters as plain dict and as argparse.Namespace.
  for (const std::string& form :
       {arguments, text::Object("argparse", "Namespace", arguments)}) {
    storages_.clear();
    const std::string path = WriteFairseq(
        text::StateDict(tensors, "decoder.model.", &storages_), form);

    ASSERT_OK_AND_ASSIGN(const ModelContents contents, ImportModel(path, {}));

    ExpectSameTensors(contents, tensors);
    EXPECT_EQ(contents.fields.family, Family::kFairseq);
    EXPECT_FALSE(contents.fields.renormalize);
    EXPECT_EQ(contents.fields.ramp, 8);
    EXPECT_FALSE(contents.is_ramp_assumed);
    EXPECT_EQ(contents.fields.vocab_size, 4);
  }
}

TEST_F(ImportTest, SaysThatFairseqsFileDoesNotHoldTheRamp) {
  const std::string path =
      WriteFairseq(text::StateDict(TinyTensors(PublishedAdaptiveSpan()),
                                   "decoder.model.", &storages_),
                   text::Dict({{"vocab_size", text::Int(50)}}));

  ASSERT_OK_AND_ASSIGN(const ModelContents contents, ImportModel(path, {}));

  EXPECT_EQ(contents.fields.ramp, 32);
  EXPECT_TRUE(contents.is_ramp_assumed);
}

TEST_F(ImportTest, ReadsOldFairseqArguments) {
  const std::string path = Write(text::Dict(
      {{"args", text::Object("argparse", "Namespace",
                             text::Dict({{"adapt_span_ramp", text::Int(5)}}))},
       {"model", text::StateDict(TinyTensors(PublishedAdaptiveSpan()),
                                 "decoder.model.", &storages_)}}));

  ASSERT_OK_AND_ASSIGN(const ModelContents contents, ImportModel(path, {}));

  EXPECT_EQ(contents.fields.ramp, 5);
}

TEST_F(ImportTest, ReadsFairseqsTransformerXl) {
  const std::vector<TensorData> tensors =
      TinyTensors(TinyTransformerXlFields());
  const std::string path =
      WriteFairseq(TransformerDict(tensors, "decoder.model.", &storages_),
                   text::Dict({{"mem_len", text::Int(7)},
                               {"clamp_len", text::Int(0)},
                               {"same_length", text::Bool(false)},
                               {"cutoffs", text::List({text::Int(20000)})}}));

  ASSERT_OK_AND_ASSIGN(const ModelContents contents, ImportModel(path, {}));

  ExpectSameTensors(contents, tensors);
  EXPECT_EQ(contents.fields.architecture, Architecture::kTransformerXl);
  EXPECT_EQ(contents.fields.mem_len, 7);
  EXPECT_EQ(contents.fields.clamp_len, -1);
  EXPECT_FALSE(contents.fields.same_length);
  EXPECT_FALSE(contents.fields.tie_biases);
  EXPECT_EQ(contents.fields.memory_start, MemoryStart::kZero);
}

TEST_F(ImportTest, ReadsHuggingFacesFolderOrItsWeights) {
  const std::vector<TensorData> tensors =
      TinyTensors(TinyTransformerXlFields());
  const std::string value = TransformerDict(tensors, "", &storages_);
  const std::string weights =
      folder_.Write("pytorch_model.bin", text::TorchZip(value, storages_));
  folder_.Write("config.json",
                R"({"mem_len": 9, "clamp_len": 3, "same_length": true})");

  for (const std::string& source : {folder_.path(), weights}) {
    ASSERT_OK_AND_ASSIGN(const ModelContents contents, ImportModel(source, {}));

    ExpectSameTensors(contents, tensors);
    EXPECT_EQ(contents.fields.family, Family::kHuggingFace);
    EXPECT_EQ(contents.fields.mem_len, 9);
    EXPECT_EQ(contents.fields.clamp_len, 3);
    EXPECT_TRUE(contents.fields.same_length);
  }
}

TEST_F(ImportTest, RefusesTransformerXlVariantsByField) {
  folder_.Write(
      "pytorch_model.bin",
      text::TorchZip(TransformerDict(TinyTensors(TinyTransformerXlFields()), "",
                                     &storages_),
                     storages_));
  const std::pair<const char*, const char*> cases[] = {
      {R"({"mem_len": 9, "pre_lnorm": true})", "pre_lnorm"},
      {R"({"mem_len": 9, "div_val": 4})", "div_val: 4"},
      {R"({"mem_len": 9, "attn_type": 2})", "attn_type: 2"},
      {R"({"mem_len": 0})", "mem_len: 0"},
      {"{}", "mem_len: 0"}};
  for (const auto& [config, message] : cases) {
    folder_.Write("config.json", config);
    EXPECT_THAT(ImportModel(folder_.path(), {}),
                StatusIs(absl::StatusCode::kFailedPrecondition, message));
  }
  EXPECT_OK(ImportModel(folder_.path(), With({{"mem_len", "5"}})));
  folder_.Write("config.json", "[");
  EXPECT_THAT(ImportModel(folder_.path(), {}),
              StatusIs(absl::StatusCode::kDataLoss, "config.json"));
}

TEST_F(ImportTest, ReadsKimiyoungsModule) {
  ModelFields fields = TinyTransformerXlFields();
  fields.tie_biases = true;
  const std::vector<TensorData> tensors = TinyTensors(fields);
  const std::string numbers = text::Text("mem_len") + text::Int(11) +
                              text::Text("clamp_len") + text::Int(-1) +
                              text::Text("same_length") + text::Bool(false);
  const std::string module = text::Module(tensors, numbers, &storages_);
  const std::string parallel = text::Object(
      "torch.nn.parallel", "DataParallel",
      text::Dict({{"_modules", text::Dict({{"module", module}})}}));

  for (const std::string& value : {module, parallel}) {
    ASSERT_OK_AND_ASSIGN(const ModelContents contents,
                         ImportModel(Write(value), {}));

    ExpectSameTensors(contents, tensors);
    EXPECT_EQ(contents.fields.family, Family::kKimiyoung);
    EXPECT_EQ(contents.fields.mem_len, 11);
    EXPECT_FALSE(contents.fields.same_length);
    EXPECT_TRUE(contents.fields.tie_biases);
    EXPECT_EQ(contents.fields.memory_start, MemoryStart::kEmpty);
  }
}

TEST_F(ImportTest, EndsOnModulesWithoutEnd) {
  // A module that is its own child, twice.
  const std::string endless =
      text::Global("m", "Endless") + ")\x81q\x05" +
      text::Dict({{"_modules", text::Dict({{"a", "h\x05"}, {"b", "h\x05"}})}}) +
      "b";

  EXPECT_THAT(ImportModel(Write(endless), {}),
              StatusIs(absl::StatusCode::kFailedPrecondition, "modules"));
}

TEST_F(ImportTest, LeavesOutAnOutputWeightTiedToTheEmbedding) {
  std::vector<TensorData> tensors = TinyTensors(TinyTransformerXlFields());
  for (TensorData& tensor : tensors) {
    if (tensor.name == "crit.out_layers.0.weight") {
      tensor.bytes = tensors[0].bytes;  // the embedding's
    }
  }
  const std::string path = Write(text::StateDict(tensors, "", &storages_));

  ASSERT_OK_AND_ASSIGN(const ModelContents contents,
                       ImportModel(path, With({{"mem_len", "4"}})));

  EXPECT_EQ(contents.tensors.size(), tensors.size() - 1);
  for (const TensorData& tensor : contents.tensors) {
    EXPECT_NE(tensor.name, "crit.out_layers.0.weight");
  }
}

TEST_F(ImportTest, ChangesSettingsOfOurOwnModels) {
  const ModelContents contents = TinyContents(TinyTransformerXlFields());
  ASSERT_OK(WriteModelDir(folder_.File("m"), contents));

  ASSERT_OK_AND_ASSIGN(
      const ModelContents changed,
      ImportModel(folder_.File("m"), With({{"mem_len", "33"}})));

  ExpectSameTensors(changed, contents.tensors);
  EXPECT_EQ(changed.fields.mem_len, 33);
  EXPECT_EQ(changed.fields.family, Family::kNative);
  ASSERT_OK(WriteModelDir(folder_.File("n"), changed));
  EXPECT_OK(ModelDir::Open(folder_.File("n")));
}

TEST_F(ImportTest, RefusesFilesOfNoKnownFamily) {
  for (const std::string& value : {text::None(), text::Int(3), text::Dict({}),
                                   text::Dict({{"model", text::Dict({})}}),
                                   text::Dict({{"model", text::Int(1)}}),
                                   text::Dict({{"weight", text::Int(1)}})}) {
    EXPECT_THAT(ImportModel(Write(value), {}),
                StatusIs(absl::StatusCode::kFailedPrecondition,
                         AllOf(HasSubstr("f.pt"), HasSubstr("family"))));
  }
  EXPECT_THAT(ImportModel(folder_.File("none.pt"), {}),
              StatusIs(absl::StatusCode::kNotFound, "none.pt"));
  std::filesystem::create_directory(folder_.File("empty"));
  EXPECT_THAT(ImportModel(folder_.File("empty"), {}),
              StatusIs(absl::StatusCode::kNotFound, "empty/config.json"));
}

}  // namespace
}  // namespace spanlm
