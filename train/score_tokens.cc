// SPDX-License-Identifier: Apache-2.0
#include "train/score_tokens.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace spanlm {
namespace {

// Reads `count` tokens of rows [first, first + caches), from place `done` on,
// and puts their scores in place.
absl::Status ScoreStep(Engine& engine, const TokenRows& tokens, int64_t first,
                       int64_t done, std::vector<SpanCache>* caches,
                       int64_t count, std::vector<float>* scores) {
  Batch batch;
  for (size_t i = 0; i < caches->size(); ++i) {
    batch.push_back(
        {&(*caches)[i],
         tokens.row(first + static_cast<int64_t>(i))
             .subspan(static_cast<size_t>(done), static_cast<size_t>(count)),
         Want::kTargets});
  }
  SPANLM_ASSIGN_OR_RETURN(const StepResult result, engine.Step(batch));
  for (size_t i = 0; i < caches->size(); ++i) {
    // A row's first token is context only.
    const int64_t row = first + static_cast<int64_t>(i);
    float* const out = scores->data() + row * (tokens.length - 1) - 1 + done;
    const std::vector<float>& log_probs = result[i].log_probs;
    for (size_t j = done == 0 ? 1 : 0; j < log_probs.size(); ++j) {
      out[j] = -log_probs[j];
    }
  }
  return absl::OkStatus();
}

// The scores of rows [first, first + count), which share their steps.
absl::Status ScoreGroup(Engine& engine, const TokenRows& tokens, int64_t first,
                        int64_t count, const BlockSizes& blocks,
                        std::vector<float>* scores) {
  std::vector<SpanCache> caches;
  for (int64_t i = 0; i < count; ++i) {
    SPANLM_ASSIGN_OR_RETURN(SpanCache cache, engine.NewCache());
    caches.push_back(std::move(cache));
  }
  const int64_t room = engine.options().max_step_symbols / count;
  int64_t done = 0;
  for (size_t turn = 0; done < tokens.length; ++turn) {
    const int64_t size =
        std::min({blocks[turn % blocks.size()], room, tokens.length - done});
    SPANLM_RETURN_IF_ERROR(
        ScoreStep(engine, tokens, first, done, &caches, size, scores));
    done += size;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenRows> ReadTokenRows(const std::string& path, int64_t rows) {
  if (rows < 1) {
    return absl::InvalidArgumentError(
        absl::StrFormat("--rows %d: want at least 1", rows));
  }
  std::error_code error;
  std::ifstream file(path, std::ios::binary);
  if (!file || std::filesystem::is_directory(path, error)) {
    return absl::NotFoundError(absl::StrCat(path, ": no such file"));
  }
  const std::string bytes((std::istreambuf_iterator<char>(file)), {});
  const auto size = static_cast<int64_t>(bytes.size());
  if (size % (2 * rows) != 0 || size / (2 * rows) < 2) {
    return absl::DataLossError(absl::StrFormat(
        "%s: %d bytes are not %d rows of equally many 2-byte tokens, at least "
        "2 a row",
        path, size, rows));
  }
  TokenRows result{rows, size / (2 * rows), {}};
  result.tokens.reserve(static_cast<size_t>(size / 2));
  for (size_t i = 0; i < bytes.size(); i += 2) {
    const auto low = static_cast<uint8_t>(bytes[i]);
    const auto high = static_cast<uint8_t>(bytes[i + 1]);
    result.tokens.push_back(static_cast<uint16_t>(low | high << 8));
  }
  return result;
}

absl::Status CheckTokens(const TokenRows& tokens, int32_t vocab_size) {
  const auto bad = std::find_if(
      tokens.tokens.begin(), tokens.tokens.end(),
      [vocab_size](uint16_t token) { return token >= vocab_size; });
  if (bad == tokens.tokens.end()) return absl::OkStatus();
  const int64_t index = bad - tokens.tokens.begin();
  return absl::DataLossError(absl::StrFormat(
      "row %d, place %d: token %d, the model has %d symbols",
      index / tokens.length, index % tokens.length, *bad, vocab_size));
}

absl::StatusOr<std::vector<float>> ScoreByStep(Engine& engine,
                                               const TokenRows& tokens,
                                               const BlockSizes& blocks) {
  const int64_t largest = *std::max_element(blocks.begin(), blocks.end());
  const int64_t by_room = engine.options().max_step_symbols / largest;
  const int64_t by_slots = engine.free_slot_count();
  const int64_t group = std::max<int64_t>(1, std::min(by_room, by_slots));
  std::vector<float> scores(
      static_cast<size_t>(tokens.rows * (tokens.length - 1)));
  for (int64_t first = 0; first < tokens.rows; first += group) {
    SPANLM_RETURN_IF_ERROR(ScoreGroup(engine, tokens, first,
                                      std::min(group, tokens.rows - first),
                                      blocks, &scores));
  }
  return scores;
}

}  // namespace spanlm
