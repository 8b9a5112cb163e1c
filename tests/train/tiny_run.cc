// SPDX-License-Identifier: Apache-2.0
#include "tests/train/tiny_run.h"

#include <random>
#include <sstream>

#include "tests/train/tiny_model.h"

namespace spanlm {
namespace {

TrainOptions CommonOptions(const std::string& data,
                           const std::string& save_dir) {
  TrainOptions options;
  options.data = data;
  options.save_dir = save_dir;
  options.tokens_per_sample = 16;
  options.batch_size = 4;
  options.seed = 3;
  options.log_interval = 1;
  options.log_to_stdout = false;
  options.threads = 1;
  return options;
}

}  // namespace

std::string WriteCorpus(const TempDir& folder, const std::string& train,
                        const std::string& valid) {
  const std::string path = folder.File("corpus");
  std::filesystem::create_directory(path);
  folder.Write("corpus/train.bytes", train);
  folder.Write("corpus/valid.bytes", valid);
  folder.Write("corpus/test.bytes", "");
  const nlohmann::json splits = {{"train", {{"bytes", train.size()}}},
                                 {"valid", {{"bytes", valid.size()}}},
                                 {"test", {{"bytes", 0U}}}};
  folder.Write("corpus/corpus.json", nlohmann::json{{"splits", splits}}.dump());
  return path;
}

std::string RandomText(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::string text;
  while (text.size() < size) text += static_cast<char>(random() % 256);
  return text;
}

std::string PeriodicText(const std::string& period, size_t size) {
  std::string text;
  while (text.size() < size) text += period;
  text.resize(size);
  return text;
}

TrainOptions AdaptiveSpanRun(const std::string& data,
                             const std::string& save_dir) {
  TrainOptions options = CommonOptions(data, save_dir);
  options.model = TinyAdaptiveSpan();
  options.adapt_span_init = 0.2;
  options.aux_loss_scaler = 1e-3;
  options.dropout.activation = 0.3;
  options.dropout.embedding = 0.1;
  options.optimizer.adagrad_clip = 0.03;
  options.schedule.warmup_updates = 10;
  return options;
}

TrainOptions TransformerXlRun(const std::string& data,
                              const std::string& save_dir) {
  TrainOptions options = CommonOptions(data, save_dir);
  options.model = TinyTransformerXl();
  options.dropout.activation = 0.1;
  options.dropout.attention = 0.2;
  options.optimizer.kind = OptimizerKind::kAdam;
  options.optimizer.clip_norm = 0.25;
  options.optimizer.weight_decay = 0.01;
  options.schedule.scheduler = LrScheduler::kCosine;
  options.schedule.lr = 2e-3;
  options.schedule.warmup_updates = 2;
  options.schedule.max_update = 30;
  return options;
}

std::vector<nlohmann::json> LogLines(const std::string& save_dir,
                                     const std::string& tag) {
  std::istringstream file(ReadFile(save_dir + "/train.jsonl"));
  std::vector<nlohmann::json> lines;
  for (std::string line; std::getline(file, line);) {
    nlohmann::json object = nlohmann::json::parse(line, nullptr, false);
    if (tag.empty() || object.value("tag", "") == tag) lines.push_back(object);
  }
  return lines;
}

}  // namespace spanlm
