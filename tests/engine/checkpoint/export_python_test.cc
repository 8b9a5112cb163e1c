// SPDX-License-Identifier: Apache-2.0
// Exported checkpoints as Python's standard library reads them, which shares
// no code with us.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "engine/checkpoint/digest.h"
#include "engine/checkpoint/export/export.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"
#include "tests/engine/checkpoint/tiny_contents.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace spanlm {
namespace {

using nlohmann::json;

ModelContents AdaptiveSpan(bool renormalize) {
  ModelContents contents;
  contents.fields = TinyAdaptiveSpanFields();
  contents.fields.attn_span = 128;
  contents.fields.block_rounding = 64;
  contents.fields.ramp = 24;
  contents.fields.renormalize = renormalize;
  contents.tensors = TinyTensors(contents.fields);
  return contents;
}

class ExportInPythonTest : public testing::Test {
 protected:
  void SetUp() override {
    if (std::system("python3 -c 'import pickle' 2>/dev/null") != 0) {
      GTEST_SKIP() << "no python3 here";
    }
  }

  // Writes `contents` as a model and exports it.
  absl::Status Export(const ModelContents& contents, ExportFormat format,
                      const std::string& destination) {
    absl::Status status = WriteModelDir(folder_.File("model"), contents);
    if (!status.ok()) return status;
    absl::StatusOr<ModelDir> model = ModelDir::Open(folder_.File("model"));
    if (!model.ok()) return model.status();
    return ExportModel(*model, format, folder_.File(destination)).status();
  }

  // The object that Python reads from `path`; null if it cannot.
  static json Load(const std::string& path) {
    const std::string command = "python3 " SPANLM_SOURCE_DIR
                                "/tests/engine/checkpoint/read_torch_zip.py '" +
                                path + "'";
    FILE* const pipe = popen(command.c_str(), "r");
    if (pipe == nullptr) return nullptr;
    std::string text;
    char buffer[4096];
    for (size_t n = 0; (n = fread(buffer, 1, sizeof(buffer), pipe)) > 0;) {
      text.append(buffer, n);
    }
    return pclose(pipe) == 0 ? json::parse(text, nullptr, false) : json();
  }

  static json Expected(const TensorData& tensor) {
    return {{"shape", tensor.shape}, {"sha256", Sha256Hex(tensor.bytes)}};
  }

  static json Expected(const ModelContents& contents, const std::string& name) {
    for (const TensorData& tensor : contents.tensors) {
      if (tensor.name == name) return Expected(tensor);
    }
    return nullptr;
  }

  const TempDir folder_;
};

TEST_F(ExportInPythonTest, ReadsTheOriginalCodesCheckpoint) {
  const ModelContents contents = AdaptiveSpan(/*renormalize=*/true);
  ASSERT_OK(Export(contents, ExportFormat::kOriginal, "o.pt"));

  json object = Load(folder_.File("o.pt"));

  ASSERT_TRUE(object.is_object());
  EXPECT_EQ(object["iter_no"], -1);
  EXPECT_EQ(object["model"].size(), contents.tensors.size());
  for (const TensorData& tensor : contents.tensors) {
    EXPECT_EQ(object["model"]["module." + tensor.name], Expected(tensor));
  }
  json& optimizer = object["optimizer"];
  EXPECT_EQ(optimizer["state"].size(), contents.tensors.size() - 2);  // masks
  EXPECT_EQ(optimizer["param_groups"][0]["params"].size(),
            optimizer["state"].size());
  EXPECT_EQ(optimizer["state"]["0"]["sum"]["shape"], json({1, 2, 128}));
}

TEST_F(ExportInPythonTest, ReadsFairseqsCheckpoint) {
  const ModelContents contents = AdaptiveSpan(/*renormalize=*/false);
  ASSERT_OK(Export(contents, ExportFormat::kFairseq, "f.pt"));

  json object = Load(folder_.File("f.pt"));

  ASSERT_TRUE(object.is_object());
  EXPECT_TRUE(object["args"].is_null());
  EXPECT_EQ(object["cfg"]["model"]["_name"], "adaptive_span");
  EXPECT_EQ(object["cfg"]["model"]["adapt_span_ramp"], 24);
  EXPECT_EQ(object["cfg"]["task"]["_name"], "truncated_bptt_lm");
  EXPECT_EQ(object["optimizer_history"][0]["num_updates"], 0);
  EXPECT_EQ(object["extra_state"]["train_iterator"]["epoch"], 1);
  for (const TensorData& tensor : contents.tensors) {
    EXPECT_EQ(object["model"]["decoder.model." + tensor.name],
              Expected(tensor));
  }
}

TEST_F(ExportInPythonTest, ReadsHuggingFacesStateDict) {
  const ModelContents contents = TinyContents(TinyTransformerXlFields());
  ASSERT_OK(Export(contents, ExportFormat::kHuggingFace, "hf"));

  json object = Load(folder_.File("hf/pytorch_model.bin"));

  ASSERT_TRUE(object.is_object());
  EXPECT_EQ(object.size(), contents.tensors.size() + 2);
  EXPECT_EQ(object["transformer.word_emb.emb_layers.0.weight"],
            object["crit.out_layers.0.weight"]);
  EXPECT_EQ(object["transformer.layers.1.dec_attn.r_r_bias"],
            Expected(contents, "layers.1.dec_attn.r_r_bias"));
  EXPECT_EQ(object["crit.out_layers.0.bias"],
            Expected(contents, "crit.out_layers.0.bias"));
}

}  // namespace
}  // namespace spanlm
