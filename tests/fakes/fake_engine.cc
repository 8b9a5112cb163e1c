// SPDX-License-Identifier: Apache-2.0
#include "tests/fakes/fake_engine.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "base/check.h"

namespace spanlm {
namespace {

constexpr uint64_t kRows = 61;  // a prime, so that all symbols matter

ModelConfig MakeConfig(const FakeEngineOptions& options) {
  ModelFields fields;
  fields.n_layer = 1;
  fields.d_model = 8;
  fields.n_head = 1;
  fields.d_head = 8;
  fields.d_inner = 8;
  fields.attn_span = 64;
  fields.vocab_size = static_cast<int32_t>(options.symbols.size());
  fields.symbols = options.symbols;
  fields.unknown_symbol = options.unknown_symbol;
  absl::StatusOr<ModelConfig> config = ModelConfig::Create(std::move(fields));
  SPANLM_CHECK(config.ok());
  return *std::move(config);
}

EngineOptions MakeOptions(const FakeEngineOptions& options) {
  EngineOptions result;
  result.max_step_symbols = options.max_step_symbols;
  return result;
}

uint64_t Mix(uint64_t value) {
  value = (value ^ (value >> 31)) * 0x9E3779B97F4A7C15;
  return value ^ (value >> 29);
}

std::vector<float> MakeRow(uint64_t row, size_t width) {
  std::vector<double> logits(width);
  double sum = 0;
  for (size_t i = 0; i < width; ++i) {
    logits[i] = static_cast<double>(Mix(row * 1009 + i + 1) % 6000) / 1000;
    sum += std::exp(logits[i]);
  }
  std::vector<float> log_probs;
  for (double logit : logits) {
    log_probs.push_back(static_cast<float>(logit - std::log(sum)));
  }
  return log_probs;
}

}  // namespace

FakeEngine::FakeEngine(const FakeEngineOptions& options)
    : config_(MakeConfig(options)),
      engine_options_(MakeOptions(options)),
      slots_(options.slots),
      texts_(static_cast<size_t>(options.slots)) {
  info_.digest = "fake";
  info_.numerics = "fake";
  info_.state_bytes = 1024;
  info_.slot_count = options.slots;
  info_.receptive_field_bytes = kContext;
  info_.spans = options.spans;
  for (uint64_t row = 0; row < kRows; ++row) {
    rows_.push_back(MakeRow(row, options.symbols.size()));
  }
}

absl::StatusOr<SpanCache> FakeEngine::NewCache(int64_t start) {
  SPANLM_CHECK(start >= 0 && start % kBlock == 0);
  absl::StatusOr<Slot> slot = slots_.Take();
  if (!slot.ok()) return slot.status();
  texts_[static_cast<size_t>(slot->index())].clear();
  return SpanCache(*std::move(slot), start);
}

std::vector<float> FakeEngine::LogProbsAfter(
    absl::Span<const uint16_t> text) const {
  SPANLM_CHECK(!text.empty());
  uint64_t hash = 0;
  const size_t count = std::min<size_t>(text.size(), kContext);
  for (uint16_t symbol : text.subspan(text.size() - count)) {
    hash = Mix(hash * 65537 + symbol + 1);
  }
  return rows_[hash % kRows];
}

absl::StatusOr<StepResult> FakeEngine::Step(const Batch& batch) {
  SPANLM_CHECK(!batch.empty());
  FakeStep step;
  std::set<const SpanCache*> caches;
  int64_t symbols = 0;
  for (const Sequence& sequence : batch) {
    SPANLM_CHECK(caches.insert(sequence.cache).second);
    step.push_back(Check(sequence));
    symbols += step.back().symbols;
  }
  SPANLM_CHECK(symbols <= engine_options_.max_step_symbols);
  std::function<absl::Status(int64_t)> hook;
  int64_t index = 0;
  {
    MutexLock lock(&mutex_);
    hook = hook_;
    index = static_cast<int64_t>(steps_.size());
    steps_.push_back(std::move(step));
  }
  PassGate();
  if (hook) {
    const absl::Status status = hook(index);
    if (!status.ok()) return status;
  }
  StepResult result;
  for (const Sequence& sequence : batch) result.push_back(Read(sequence));
  return result;
}

FakeSequence FakeEngine::Check(const Sequence& sequence) const {
  SPANLM_CHECK(!sequence.symbols.empty());
  for (uint16_t symbol : sequence.symbols) {
    SPANLM_CHECK(symbol < config_->vocab_size);
  }
  return {sequence.cache->slot(), sequence.cache->position(),
          static_cast<int64_t>(sequence.symbols.size()), sequence.want};
}

SequenceResult FakeEngine::Read(const Sequence& sequence) {
  std::vector<uint16_t>& text =
      texts_[static_cast<size_t>(sequence.cache->slot())];
  std::vector<float> last(sequence.cache->last_log_probs().begin(),
                          sequence.cache->last_log_probs().end());
  SequenceResult result;
  for (uint16_t symbol : sequence.symbols) {
    if (sequence.want == Want::kTargets) {
      result.log_probs.push_back(last.empty() ? -std::log(256.0F)
                                              : last[symbol]);
    }
    text.push_back(symbol);
    last = LogProbsAfter(text);
    if (sequence.want == Want::kAll) {
      result.log_probs.insert(result.log_probs.end(), last.begin(), last.end());
    }
  }
  if (text.size() > kContext) text.erase(text.begin(), text.end() - kContext);
  sequence.cache->Advance(static_cast<int64_t>(sequence.symbols.size()), last);
  return result;
}

void FakeEngine::SetHook(std::function<absl::Status(int64_t)> hook) {
  MutexLock lock(&mutex_);
  hook_ = std::move(hook);
}

void FakeEngine::Hold() {
  MutexLock lock(&mutex_);
  holds_ = true;
  permits_ = 0;
}

void FakeEngine::Release(int64_t count) {
  MutexLock lock(&mutex_);
  permits_ += count;
  is_held_ = false;
  changed_.NotifyAll();
}

void FakeEngine::ReleaseAll() {
  MutexLock lock(&mutex_);
  holds_ = false;
  is_held_ = false;
  changed_.NotifyAll();
}

void FakeEngine::WaitUntilHeld() {
  MutexLock lock(&mutex_);
  while (!is_held_) changed_.Wait(&mutex_);
}

void FakeEngine::PassGate() {
  MutexLock lock(&mutex_);
  while (holds_ && permits_ == 0) {
    is_held_ = true;
    changed_.NotifyAll();
    changed_.Wait(&mutex_);
  }
  is_held_ = false;
  if (permits_ > 0) --permits_;
}

std::vector<FakeStep> FakeEngine::steps() const {
  MutexLock lock(&mutex_);
  return steps_;
}

float FakeLogProb(const FakeEngine& engine, absl::string_view text,
                  size_t index) {
  if (index == 0) return -std::log(256.0F);
  std::vector<uint16_t> before;
  const size_t begin = index - std::min<size_t>(index, FakeEngine::kContext);
  for (char c : text.substr(begin, index - begin)) {
    before.push_back(static_cast<uint8_t>(c));
  }
  return engine.LogProbsAfter(before)[static_cast<uint8_t>(text[index])];
}

BitsTotal FakeScore(const FakeEngine& engine, absl::string_view text,
                    size_t begin) {
  BitsTotal total;
  for (size_t i = begin; i < text.size(); ++i) {
    if (i == 0) {
      total.AddUniformBytes(1);
    } else {
      total.Add(-FakeLogProb(engine, text, i));
    }
  }
  return total;
}

}  // namespace spanlm
