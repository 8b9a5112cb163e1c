// SPDX-License-Identifier: Apache-2.0
#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace spanlm {
namespace {

constexpr int kBytes = 256;
constexpr int32_t kMaxRepetitionWindow = 65536;

// A byte's share of the probability, up to a factor common to all bytes.
using Weights = std::array<double, kBytes>;
// Bytes from the likeliest on, ties by byte order, and how many of them stay.
struct Ranking {
  std::array<uint8_t, kBytes> bytes;
  int kept = kBytes;
};

absl::Status OutOfBound(absl::string_view field, double value,
                        absl::string_view bound) {
  return absl::InvalidArgumentError(
      absl::StrCat(field, " ", value, ": want ", bound));
}

// Philox4x32-10 (Salmon et al., Parallel Random Numbers: As Easy as 1, 2, 3,
// SC 2011): ten rounds over a 128-bit counter. Returns a double in [0, 1).
double UniformDraw(int64_t seed, int64_t position) {
  constexpr uint64_t kMultiplier0 = 0xD2511F53, kMultiplier1 = 0xCD9E8D57;
  constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
  const uint64_t key = static_cast<uint64_t>(seed);
  const uint64_t count = static_cast<uint64_t>(position);
  uint32_t key0 = static_cast<uint32_t>(key);
  uint32_t key1 = static_cast<uint32_t>(key >> 32);
  std::array<uint32_t, 4> x = {static_cast<uint32_t>(count),
                               static_cast<uint32_t>(count >> 32), 0, 0};
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = kMultiplier0 * x[0];
    const uint64_t product1 = kMultiplier1 * x[2];
    x = {static_cast<uint32_t>(product1 >> 32) ^ x[1] ^ key0,
         static_cast<uint32_t>(product1),
         static_cast<uint32_t>(product0 >> 32) ^ x[3] ^ key1,
         static_cast<uint32_t>(product0)};
    key0 += kWeyl0;
    key1 += kWeyl1;
  }
  const uint64_t bits = (uint64_t{x[0]} << 32) | x[1];
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

void Penalize(absl::Span<const uint8_t> recent, const SamplingOptions& options,
              std::array<double, kBytes>* log_probs) {
  const size_t window = static_cast<size_t>(options.repetition_window_bytes);
  if (recent.size() > window) recent.remove_prefix(recent.size() - window);
  std::array<bool, kBytes> seen{};
  for (uint8_t byte : recent) seen[byte] = true;
  const double penalty =
      std::log(static_cast<double>(options.repetition_penalty));
  for (int i = 0; i < kBytes; ++i) {
    if (seen[i]) (*log_probs)[i] -= penalty;
  }
}

Ranking Rank(const std::array<double, kBytes>& values) {
  Ranking ranking;
  std::iota(ranking.bytes.begin(), ranking.bytes.end(), uint8_t{0});
  std::stable_sort(
      ranking.bytes.begin(), ranking.bytes.end(),
      [&values](uint8_t a, uint8_t b) { return values[a] > values[b]; });
  return ranking;
}

// The smallest number of bytes at the ranking's top that hold `top_p` of what
// the kept ones hold.
int CountTopP(const Ranking& ranking, const Weights& weights, double top_p) {
  double total = 0;
  for (int i = 0; i < ranking.kept; ++i) total += weights[ranking.bytes[i]];
  double sum = 0;
  for (int i = 0; i < ranking.kept; ++i) {
    sum += weights[ranking.bytes[i]];
    if (sum >= top_p * total) return i + 1;
  }
  return ranking.kept;
}

void Filter(const SamplingOptions& options, const Weights& weights,
            Ranking* ranking) {
  if (options.top_k > 0) ranking->kept = std::min(options.top_k, kBytes);
  if (options.top_p < 1) {
    ranking->kept = CountTopP(*ranking, weights, options.top_p);
  }
  const double least = options.min_p * weights[ranking->bytes[0]];
  while (ranking->kept > 1 &&
         weights[ranking->bytes[ranking->kept - 1]] < least) {
    --ranking->kept;
  }
}

SampledByte DrawFrom(const Weights& weights, double uniform) {
  double total = 0;
  for (double weight : weights) total += weight;
  const double target = uniform * total;
  double sum = 0;
  int drawn = -1;
  for (int i = 0; i < kBytes; ++i) {
    if (weights[i] <= 0) continue;
    sum += weights[i];
    drawn = i;  // the last one, if rounding keeps the sum below the target
    if (target < sum) break;
  }
  return {static_cast<uint8_t>(drawn),
          static_cast<float>(std::log(weights[drawn] / total))};
}

}  // namespace

absl::Status CheckSampling(const SamplingOptions& options) {
  if (!(options.temperature >= 0) || std::isinf(options.temperature)) {
    return OutOfBound("temperature", options.temperature, "at least 0, finite");
  }
  if (options.top_k < 0 || options.top_k > kBytes) {
    return OutOfBound("top_k", options.top_k, "0 to 256");
  }
  if (!(options.top_p > 0 && options.top_p <= 1)) {
    return OutOfBound("top_p", options.top_p, "above 0, at most 1");
  }
  if (!(options.min_p >= 0 && options.min_p <= 1)) {
    return OutOfBound("min_p", options.min_p, "0 to 1");
  }
  if (!(options.repetition_penalty > 0) ||
      std::isinf(options.repetition_penalty)) {
    return OutOfBound("repetition_penalty", options.repetition_penalty,
                      "above 0, finite");
  }
  if (options.repetition_window_bytes < 0 ||
      options.repetition_window_bytes > kMaxRepetitionWindow) {
    return OutOfBound("repetition_window_bytes",
                      options.repetition_window_bytes, "0 to 65536");
  }
  return absl::OkStatus();
}

SampledByte SampleByte(const std::array<float, 256>& log_probs,
                       absl::Span<const uint8_t> recent,
                       const SamplingOptions& options, int64_t position) {
  std::array<double, kBytes> scores;
  std::copy(log_probs.begin(), log_probs.end(), scores.begin());
  if (options.repetition_penalty != 1) Penalize(recent, options, &scores);
  const auto best = std::max_element(scores.begin(), scores.end());
  if (options.temperature == 0) {
    return {static_cast<uint8_t>(best - scores.begin()), 0};
  }
  const double top = *best;
  Weights weights;
  for (int i = 0; i < kBytes; ++i) {
    weights[i] = std::exp((scores[i] - top) / options.temperature);
  }
  if (options.top_k > 0 || options.top_p < 1 || options.min_p > 0) {
    // Ranked by score: temperature may make weights equal that were not.
    Ranking ranking = Rank(scores);
    Filter(options, weights, &ranking);
    for (int i = ranking.kept; i < kBytes; ++i) weights[ranking.bytes[i]] = 0;
  }
  return DrawFrom(weights, UniformDraw(options.seed, position));
}

}  // namespace spanlm
