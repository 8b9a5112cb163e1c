// SPDX-License-Identifier: Apache-2.0
#include "train/learner.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Functions.h>
#include <ATen/TensorOperators.h>
#include <ATen/core/Reduction.h>
#include <ATen/core/grad_mode.h>

#include <cmath>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "engine/model/adaptive_span.h"

namespace spanlm {
namespace {

// A bijection of 64 bits each of which moves all others: the finalizer of
// SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
// generators", figure 19, with the constants of its variant 13).
uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9U;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBU;
  return x ^ (x >> 31);
}

// A seed of its own for each update, batch and part, so that a resume needs no
// state. LibTorch's generator of the CPU reads the lower 32 bits alone, so each
// of the four has to be in those.
uint64_t DropoutSeed(uint64_t seed, int64_t update, size_t batch,
                     int64_t first_row) {
  uint64_t mixed = Mix(seed);
  for (const uint64_t part : {static_cast<uint64_t>(update), uint64_t{batch},
                              static_cast<uint64_t>(first_row)}) {
    mixed = Mix(mixed + part);
  }
  return mixed;
}

at::Generator NewGenerator(at::Device device, uint64_t seed) {
  if (device.is_cpu()) return at::detail::createCPUGenerator(seed);
  at::Generator generator = at::globalContext()
                                .getAcceleratorHooksInterface(device.type())
                                .getNewGenerator(device.index());
  generator.set_current_seed(seed);
  return generator;
}

// The model's layers share its tensors: what those hold moves, not they.
std::unique_ptr<ByteModel> MovedTo(at::Device device,
                                   std::unique_ptr<ByteModel> model) {
  if (device.is_cpu()) return model;
  for (const auto* list : {&model->parameters(), &model->buffers()}) {
    for (const NamedTensor& each : *list) {
      each.tensor.set_data(each.tensor.detach().to(device));
    }
  }
  return model;
}

at::Tensor RoundedToHalf(const at::Tensor& x) {
  return x.to(at::kHalf).to(x.scalar_type());
}

// What the optimizer moves: in half precision copies of the parameters that
// keep the bits that those lose.
std::vector<NamedTensor> MovedBy(const std::vector<NamedTensor>& parameters,
                                 Precision precision) {
  if (precision != Precision::kHalf) return parameters;
  std::vector<NamedTensor> masters;
  for (const NamedTensor& parameter : parameters) {
    masters.push_back({parameter.name, parameter.tensor.detach().clone()});
  }
  return masters;
}

void ClampSpans(const std::vector<NamedTensor>& parameters) {
  at::NoGradGuard no_grad;
  for (const NamedTensor& parameter : parameters) {
    if (IsSpan(parameter.name)) at::Tensor(parameter.tensor).clamp_(0, 1);
  }
}

struct NamedValue {
  std::string name;
  double value = 0;
};

// The largest magnitude of `tensors` and the name of where it is; the first
// NaN or infinity counts as the largest.
NamedValue LargestValue(const std::vector<NamedTensor>& tensors) {
  NamedValue largest;
  for (const NamedTensor& each : tensors) {
    const auto value = each.tensor.detach().abs().max().item<double>();
    if (!largest.name.empty() && value <= largest.value) continue;
    largest = {each.name, value};
    if (!std::isfinite(value)) break;
  }
  return largest;
}

std::vector<at::Tensor> TensorsOf(const std::vector<NamedTensor>& named) {
  std::vector<at::Tensor> tensors;
  for (const NamedTensor& each : named) tensors.push_back(each.tensor);
  return tensors;
}

}  // namespace

Learner::Learner(const LearnerOptions& options,
                 std::unique_ptr<ByteModel> model, int64_t row_count,
                 ProcessGroup* group)
    : options_(options),
      model_(MovedTo(group->device(), std::move(model))),
      group_(group),
      row_count_(row_count),
      scaler_(options.scaler, int64_t{options.update_freq} * group->size()),
      parts_(MakeRowParts(row_count, group->device())),
      gradients_(model_->parameters(), parts_.size(),
                 options.precision == Precision::kHalf, group) {
  pass_.precision = options.precision;
  pass_.dropout = options.dropout;
  optimizer_ = NewOptimizer(options.optimizer,
                            MovedBy(model_->parameters(), options.precision));
  for (size_t i = 0; i < gradients_.gradients().size(); ++i) {
    optimizer_->parameters()[i].tensor.mutable_grad() =
        gradients_.gradients()[i];
  }
  {
    at::NoGradGuard no_grad;
    group_->TakeFirst(TensorsOf(optimizer_->parameters()));
  }
  TakeParameters();
  StartMemories();
}

void Learner::StartMemories() {
  memories_ = SplitRows(model_->NewMemory(row_count_, pass_), parts_);
}

void Learner::TakeParameters() {
  if (options_.precision != Precision::kHalf) return;
  at::NoGradGuard no_grad;
  const std::vector<NamedTensor>& masters = optimizer_->parameters();
  for (size_t i = 0; i < masters.size(); ++i) {
    at::Tensor(model_->parameters()[i].tensor)
        .copy_(RoundedToHalf(masters[i].tensor));
  }
}

void Learner::GiveParameters() {
  if (options_.precision != Precision::kHalf) return;
  at::NoGradGuard no_grad;
  const std::vector<NamedTensor>& masters = optimizer_->parameters();
  for (size_t i = 0; i < masters.size(); ++i) {
    at::Tensor(masters[i].tensor).copy_(model_->parameters()[i].tensor);
  }
  TakeParameters();
}

std::vector<NamedTensor> Learner::State() const {
  std::vector<NamedTensor> state = optimizer_->State();
  if (options_.precision != Precision::kHalf) return state;
  for (const NamedTensor& master : optimizer_->parameters()) {
    state.push_back({absl::StrCat("master.", master.name), master.tensor});
  }
  return state;
}

absl::Status Learner::Restore(const TensorSource& source, int64_t step_count) {
  SPANLM_RETURN_IF_ERROR(optimizer_->Restore(source, step_count));
  if (options_.precision != Precision::kHalf) return absl::OkStatus();
  for (const NamedTensor& master : optimizer_->parameters()) {
    SPANLM_RETURN_IF_ERROR(
        CopyFrom(source, absl::StrCat("master.", master.name), master.tensor));
  }
  TakeParameters();
  return absl::OkStatus();
}

std::vector<NamedTensor> Learner::gradients() const {
  std::vector<NamedTensor> named;
  for (const at::Tensor& gradient : gradients_.gradients()) {
    named.push_back({model_->parameters()[named.size()].name, gradient});
  }
  return named;
}

void Learner::Accumulate(const std::vector<StreamBatch>& batches, size_t index,
                         int64_t update, UpdateReport* report) {
  const StreamBatch& batch = batches[index];
  if (batch.starts_anew) StartMemories();
  const auto positions = static_cast<double>(batch.tokens.numel());
  const double scale =
      options_.precision == Precision::kHalf ? scaler_.scale() : 1;
  std::vector<double> nats(parts_.size());
  double span_loss = 0;
  gradients_.BeginBatch(index == 0, index + 1 == batches.size());
  ForRowParts(parts_, [&](size_t i, const RowPart& part) {
    const at::Device device = group_->device();
    const auto rows_of = [&](const at::Tensor& x) {
      return x.narrow(0, part.first, part.count).to(device);
    };
    PassOptions pass = pass_;
    const int64_t first_row = group_->rank() * row_count_ + part.first;
    pass.generator = NewGenerator(
        device, DropoutSeed(options_.seed, update, index, first_row));
    const at::Tensor logits =
        model_->Forward(rows_of(batch.tokens), pass, &memories_[i]);
    at::Tensor loss = at::cross_entropy_loss(logits.flatten(0, 1),
                                             rows_of(batch.targets).flatten(),
                                             {}, at::Reduction::Sum, kUnscored);
    nats[i] = loss.item<double>();
    loss = loss / positions;
    const at::Tensor spans = i == 0 ? model_->SpanSum() : at::Tensor();
    if (spans.defined()) {
      span_loss = options_.aux_loss_scaler * spans.item<double>();
      loss = loss + spans * options_.aux_loss_scaler;
    }
    gradients_.Backward(i, loss * scale);
  });
  gradients_.EndBatch();
  report->nats += std::accumulate(nats.begin(), nats.end(), 0.0);
  report->span_loss += span_loss;
  report->scored += batch.scored;
  report->positions += batch.tokens.numel() * group_->size();
}

void Learner::AverageGradients(size_t batch_count) {
  double divisor = static_cast<double>(batch_count) * group_->size();
  if (options_.precision == Precision::kHalf) divisor *= scaler_.scale();
  if (divisor != 1) gradients_.Scale(1 / divisor);
}

absl::Status Learner::CheckFinite(const UpdateReport& report,
                                  const std::vector<double>& norms,
                                  int64_t update) const {
  const auto refuse = [update](const std::string& what) {
    return absl::InternalError(
        absl::StrCat("update ", update, ": ", what,
                     "; start again from a checkpoint with a lower --lr"));
  };
  if (!std::isfinite(report.nats)) {
    const NamedValue largest = LargestValue(model_->parameters());
    return refuse(absl::StrCat("loss is ", report.nats / report.scored,
                               "; the parameters' largest value, ",
                               largest.value, ", is in ", largest.name));
  }
  for (size_t i = 0; i < norms.size(); ++i) {
    if (std::isfinite(norms[i])) continue;
    return refuse(absl::StrCat("the gradient's norm of ",
                               optimizer_->parameters()[i].name, " is ",
                               norms[i]));
  }
  return absl::OkStatus();
}

absl::Status Learner::CheckParameters() const {
  const NamedValue largest = LargestValue(optimizer_->parameters());
  if (std::isfinite(largest.value)) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("parameter ", largest.name, " holds ", largest.value,
                   "; start again from a checkpoint with a lower --lr"));
}

absl::StatusOr<UpdateReport> Learner::Update(
    const std::vector<StreamBatch>& batches, double lr, int64_t update) {
  UpdateReport report;
  if (options_.span_clamp == SpanClamp::kBeforeForward) model_->ClampSpans();
  for (size_t i = 0; i < batches.size(); ++i) {
    Accumulate(batches, i, update, &report);
  }
  report.span_loss /= static_cast<double>(batches.size());
  AverageGradients(batches.size());
  const at::Tensor nats =
      at::full({1}, report.nats, at::TensorOptions().dtype(at::kDouble));
  group_->Sum(nats);
  report.nats = nats.item<double>();

  const std::vector<double> norms = optimizer_->GradientNorms();
  const absl::Status finite = CheckFinite(report, norms, update);
  if (options_.precision != Precision::kHalf) {
    if (!finite.ok()) return finite;
  } else if (!finite.ok()) {
    report.overflowed = true;
    const absl::Status status = scaler_.CountOverflow();
    if (status.ok()) return report;
    return absl::Status(status.code(),
                        absl::StrCat(finite.message(), "; ", status.message()));
  }
  report.step = optimizer_->Step(lr, norms);
  if (options_.precision == Precision::kHalf) scaler_.CountClean();
  if (options_.span_clamp == SpanClamp::kAfterStep) {
    ClampSpans(optimizer_->parameters());
  }
  TakeParameters();
  return report;
}

}  // namespace spanlm
