// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/parse.h"

#include <cmath>
#include <limits>
#include <random>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/jobs/reason.h"
#include "server/rpc/status.h"

namespace spanlm {
namespace {

constexpr int32_t kMaxTopCount = 256;
constexpr int64_t kMaxBlockBytes = int64_t{1} << 30;
constexpr int32_t kMaxRepetitionWindow = 65536;
constexpr int kMaxStops = 16;
constexpr size_t kMaxStopSize = 256;
constexpr int32_t kMaxMinChunk = 65536;
constexpr absl::Duration kMaxDelay = absl::Seconds(10);
constexpr absl::Duration kMinProgressInterval = absl::Milliseconds(100);
constexpr absl::Duration kMaxProgressInterval = absl::Hours(1);
constexpr int64_t kSpanBlockBytes = 64 << 10;
constexpr int64_t kMaxSpanBlocks = 65536;

template <typename Value, typename Bound>
absl::Status CheckRange(absl::string_view field, Value value, Bound low,
                        Bound high,
                        absl::string_view reason = kReasonFieldInvalid,
                        absl::string_view unit = "") {
  // Written so that a NaN is outside.
  if (value >= low && value <= high) return absl::OkStatus();
  return FieldError(
      field, absl::StrCat("got ", value, unit, ", want ", low, " to ", high),
      reason);
}

absl::StatusOr<Priority> ParsePriority(v1::Priority priority,
                                       Priority standard) {
  switch (priority) {
    case v1::PRIORITY_UNSPECIFIED:
      return standard;
    case v1::PRIORITY_INTERACTIVE:
      return Priority::kInteractive;
    case v1::PRIORITY_STANDARD:
      return Priority::kStandard;
    case v1::PRIORITY_BATCH:
      return Priority::kBatch;
    default:
      return FieldError("priority",
                        absl::StrCat("unknown value ", int{priority}),
                        kReasonFieldInvalid);
  }
}

absl::StatusOr<absl::Duration> ParseDuration(
    absl::string_view field, const google::protobuf::Duration& duration) {
  // Bounds of google.protobuf.Duration: 10000 years, nanos below a second.
  SPANLM_RETURN_IF_ERROR(CheckRange(absl::StrCat(field, ".seconds"),
                                    duration.seconds(), int64_t{-315576000000},
                                    int64_t{315576000000}));
  SPANLM_RETURN_IF_ERROR(CheckRange(absl::StrCat(field, ".nanos"),
                                    duration.nanos(), -999999999, 999999999));
  if ((duration.seconds() < 0 && duration.nanos() > 0) ||
      (duration.seconds() > 0 && duration.nanos() < 0)) {
    return FieldError(
        field,
        absl::StrCat("seconds ", duration.seconds(), " and nanos ",
                     duration.nanos(), ", want the same sign in both"),
        kReasonFieldInvalid);
  }
  return absl::Seconds(duration.seconds()) +
         absl::Nanoseconds(duration.nanos());
}

absl::Status CheckDuration(absl::string_view field, absl::Duration value,
                           absl::Duration low, absl::Duration high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return FieldError(field,
                    absl::StrCat("got ", absl::FormatDuration(value), ", want ",
                                 absl::FormatDuration(low), " to ",
                                 absl::FormatDuration(high)),
                    kReasonFieldInvalid);
}

absl::Status CheckTops(absl::string_view field, int32_t count,
                       bool has_per_byte, absl::string_view needed) {
  SPANLM_RETURN_IF_ERROR(CheckRange(field, count, 0, kMaxTopCount));
  if (count == 0 || has_per_byte) return absl::OkStatus();
  return FieldError(field, absl::StrCat("got ", count, " without ", needed),
                    kReasonFieldInvalid);
}

absl::StatusOr<ScoreOptions> ParseScoreOutput(const v1::ScoreOutput& output) {
  SPANLM_RETURN_IF_ERROR(CheckTops("output.top_count", output.top_count(),
                                   output.per_byte(), "output.per_byte"));
  return ScoreOptions{output.per_byte(), output.top_count(),
                      output.is_greedy()};
}

// Most bytes that the scores of one byte take in an answer.
int64_t AnswerBytesPerByte(bool has_log_probs, int32_t top_count) {
  constexpr int64_t kFloat = sizeof(float);
  const int64_t tops = top_count == 0 ? 0 : TopBytesSize(top_count);
  return (has_log_probs ? kFloat : 0) + tops;
}

// Most bytes of an answer beside scores: the model's names, times, a stop
// sequence; and those of one item, a status of its own included.
constexpr int64_t kAnswerFrame = 1024;
constexpr int64_t kItemFrame = 512;
// Most bytes that an evaluation's result takes for a block.
constexpr int64_t kBlockFrame = 48;

absl::Status CheckAnswerSize(absl::string_view field, int64_t answer_bytes,
                             const RpcLimits& limits) {
  if (answer_bytes <= limits.max_message_bytes) return absl::OkStatus();
  return FieldError(field,
                    absl::StrCat("the answer might take ", answer_bytes,
                                 " bytes, more than a message of ",
                                 limits.max_message_bytes, " holds"),
                    kReasonLimitExceeded);
}

int64_t DrawSeed() {
  std::random_device device;
  const uint64_t high = device();
  return static_cast<int64_t>(high << 32 | device());
}

absl::StatusOr<SamplingOptions> ParseSampling(
    const v1::SamplingOptions& sampling) {
  constexpr float kMax = std::numeric_limits<float>::max();
  // The smallest number above 0 stands for "above 0".
  constexpr float kMin = std::numeric_limits<float>::denorm_min();
  SamplingOptions options;
  if (sampling.has_temperature()) options.temperature = sampling.temperature();
  if (sampling.has_top_k()) options.top_k = sampling.top_k();
  if (sampling.has_top_p()) options.top_p = sampling.top_p();
  if (sampling.has_min_p()) options.min_p = sampling.min_p();
  if (sampling.has_repetition_penalty()) {
    options.repetition_penalty = sampling.repetition_penalty();
  }
  if (sampling.has_repetition_window_bytes()) {
    options.repetition_window_bytes = sampling.repetition_window_bytes();
  }
  SPANLM_RETURN_IF_ERROR(
      CheckRange("sampling.temperature", options.temperature, 0.0F, kMax));
  SPANLM_RETURN_IF_ERROR(CheckRange("sampling.top_k", options.top_k, 0, 256));
  SPANLM_RETURN_IF_ERROR(
      CheckRange("sampling.top_p", options.top_p, kMin, 1.0F));
  SPANLM_RETURN_IF_ERROR(
      CheckRange("sampling.min_p", options.min_p, 0.0F, 1.0F));
  SPANLM_RETURN_IF_ERROR(CheckRange("sampling.repetition_penalty",
                                    options.repetition_penalty, kMin, kMax));
  SPANLM_RETURN_IF_ERROR(CheckRange("sampling.repetition_window_bytes",
                                    options.repetition_window_bytes, 0,
                                    kMaxRepetitionWindow));
  options.seed = sampling.has_seed() ? sampling.seed() : DrawSeed();
  return options;
}

absl::Status ParseStop(const v1::StopOptions& stop, const RpcLimits& limits,
                       GenerateOptions* options) {
  SPANLM_RETURN_IF_ERROR(CheckRange(
      "stop.max_bytes", stop.max_bytes(), int64_t{1},
      limits.max_generated_bytes,
      stop.max_bytes() < 1 ? kReasonFieldInvalid : kReasonLimitExceeded));
  options->max_bytes = stop.max_bytes();
  SPANLM_RETURN_IF_ERROR(CheckRange("stop.sequences", stop.sequences_size(), 0,
                                    kMaxStops, kReasonLimitExceeded,
                                    " of them"));
  for (int i = 0; i < stop.sequences_size(); ++i) {
    SPANLM_RETURN_IF_ERROR(CheckRange(
        absl::StrCat("stop.sequences[", i, "]"), stop.sequences(i).size(),
        size_t{1}, kMaxStopSize, kReasonFieldInvalid, " bytes"));
    options->stops.push_back(stop.sequences(i));
  }
  options->include_stop = stop.include_stop();
  if (stop.has_max_duration()) {
    SPANLM_ASSIGN_OR_RETURN(
        options->max_duration,
        ParseDuration("stop.max_duration", stop.max_duration()));
    if (options->max_duration <= absl::ZeroDuration()) {
      return FieldError(
          "stop.max_duration",
          absl::StrCat("got ", absl::FormatDuration(options->max_duration),
                       ", want above 0"),
          kReasonFieldInvalid);
    }
  }
  return absl::OkStatus();
}

// What Generate and GenerateStream have in common.
template <typename Request>
absl::StatusOr<GenerateInput> ParseGeneration(const Request& request,
                                              const RpcLimits& limits) {
  if (request.has_session()) return NotBuiltIn("session");
  GenerateInput input;
  input.prompt = request.prompt();
  SPANLM_ASSIGN_OR_RETURN(
      input.priority, ParsePriority(request.priority(), Priority::kStandard));
  SPANLM_ASSIGN_OR_RETURN(input.options.sampling,
                          ParseSampling(request.sampling()));
  SPANLM_RETURN_IF_ERROR(ParseStop(request.stop(), limits, &input.options));
  const v1::GenerationOutput& output = request.output();
  SPANLM_RETURN_IF_ERROR(CheckTops("output.top_count", output.top_count(),
                                   output.log_probs(), "output.log_probs"));
  input.options.log_probs = output.log_probs();
  input.options.sampling_log_probs = output.sampling_log_probs();
  input.options.top_count = output.top_count();
  return input;
}

}  // namespace

absl::StatusOr<ScoreInput> ParseScore(const v1::ScoreRequest& request,
                                      const RpcLimits& limits) {
  SPANLM_RETURN_IF_ERROR(CheckRange(
      "items", request.items_size(), 1, limits.max_items,
      request.items_size() < 1 ? kReasonFieldInvalid : kReasonLimitExceeded,
      " of them"));
  ScoreInput input;
  SPANLM_ASSIGN_OR_RETURN(
      input.priority, ParsePriority(request.priority(), Priority::kStandard));
  SPANLM_ASSIGN_OR_RETURN(input.options, ParseScoreOutput(request.output()));
  int64_t byte_count = 0;
  for (int i = 0; i < request.items_size(); ++i) {
    const v1::ScoreItem& item = request.items(i);
    if (item.has_session()) {
      return NotBuiltIn(absl::StrCat("items[", i, "].session"));
    }
    input.items.push_back({item.context(), item.continuation()});
    byte_count += static_cast<int64_t>(item.continuation().size());
  }
  SPANLM_RETURN_IF_ERROR(CheckAnswerSize(
      "output",
      kAnswerFrame + kItemFrame * request.items_size() +
          byte_count * AnswerBytesPerByte(input.options.per_byte,
                                          input.options.top_count),
      limits));
  return input;
}

absl::StatusOr<ScoreStreamInput> ParseOpen(
    const v1::ScoreStreamRequest::Open& open) {
  if (open.has_session()) return NotBuiltIn("session");
  ScoreStreamInput input;
  SPANLM_ASSIGN_OR_RETURN(input.priority,
                          ParsePriority(open.priority(), Priority::kStandard));
  v1::ScoreOutput output = open.output();
  if (open.unit() == v1::ScoreStreamRequest::UNIT_BYTE) {
    output.set_per_byte(true);
  }
  SPANLM_ASSIGN_OR_RETURN(input.options.output, ParseScoreOutput(output));
  switch (open.unit()) {
    case v1::ScoreStreamRequest::UNIT_UNSPECIFIED:
    case v1::ScoreStreamRequest::UNIT_BYTE:
      break;
    case v1::ScoreStreamRequest::UNIT_LINE:
      input.options.unit = ScoreUnit::kLine;
      break;
    case v1::ScoreStreamRequest::UNIT_BLOCK:
      input.options.unit = ScoreUnit::kBlock;
      break;
    default:
      return FieldError("unit",
                        absl::StrCat("unknown value ", int{open.unit()}),
                        kReasonFieldInvalid);
  }
  const bool has_blocks = input.options.unit == ScoreUnit::kBlock;
  SPANLM_RETURN_IF_ERROR(CheckRange("block_bytes", open.block_bytes(),
                                    int64_t{has_blocks ? 1 : 0},
                                    has_blocks ? kMaxBlockBytes : 0));
  input.options.block_bytes = open.block_bytes();
  return input;
}

absl::StatusOr<GenerateInput> ParseGenerate(const v1::GenerateRequest& request,
                                            const RpcLimits& limits) {
  SPANLM_ASSIGN_OR_RETURN(GenerateInput input,
                          ParseGeneration(request, limits));
  const int64_t bytes_per_byte =
      1 + AnswerBytesPerByte(input.options.log_probs, input.options.top_count) +
      (input.options.sampling_log_probs ? int64_t{sizeof(float)} : 0);
  SPANLM_RETURN_IF_ERROR(CheckAnswerSize(
      "stop.max_bytes", kAnswerFrame + input.options.max_bytes * bytes_per_byte,
      limits));
  return input;
}

absl::StatusOr<GenerateInput> ParseGenerateStream(
    const v1::GenerateStreamRequest& request, const RpcLimits& limits) {
  SPANLM_ASSIGN_OR_RETURN(GenerateInput input,
                          ParseGeneration(request, limits));
  if (request.has_from_position()) {
    return FieldError("from_position", "given without a session",
                      kReasonFieldInvalid);
  }
  const v1::FlowOptions& flow = request.flow();
  if (flow.has_min_chunk_bytes()) {
    SPANLM_RETURN_IF_ERROR(CheckRange("flow.min_chunk_bytes",
                                      flow.min_chunk_bytes(), 1, kMaxMinChunk));
    input.flow.min_chunk_bytes = flow.min_chunk_bytes();
  }
  if (flow.has_max_delay()) {
    SPANLM_ASSIGN_OR_RETURN(const absl::Duration delay,
                            ParseDuration("flow.max_delay", flow.max_delay()));
    SPANLM_RETURN_IF_ERROR(CheckDuration("flow.max_delay", delay,
                                         absl::ZeroDuration(), kMaxDelay));
    if (delay > absl::ZeroDuration()) input.flow.max_delay = delay;
  }
  return input;
}

absl::StatusOr<EvaluateInput> ParseEvaluate(const v1::EvaluateRequest& request,
                                            int64_t data_bytes,
                                            int64_t receptive_field_bytes,
                                            const RpcLimits& limits) {
  if (request.protocol() != v1::EVALUATION_PROTOCOL_UNSPECIFIED &&
      request.protocol() != v1::EVALUATION_PROTOCOL_FULL_STREAM) {
    if (!v1::EvaluationProtocol_IsValid(request.protocol())) {
      return FieldError("protocol",
                        absl::StrCat("unknown value ", int{request.protocol()}),
                        kReasonFieldInvalid);
    }
    return NotBuiltIn(absl::StrCat(
        "protocol ", v1::EvaluationProtocol_Name(request.protocol())));
  }
  if (request.has_block_streams()) {
    return FieldError("block_streams", "given without that protocol",
                      kReasonFieldInvalid);
  }
  EvaluateInput input;
  if (request.has_data()) input.options.inline_bytes = data_bytes;
  SPANLM_ASSIGN_OR_RETURN(input.priority,
                          ParsePriority(request.priority(), Priority::kBatch));
  EvaluateOptions* options = &input.options;
  options->begin = request.range().begin();
  options->end = request.range().has_end() ? request.range().end() : data_bytes;
  if (options->begin < 0 || options->begin > options->end ||
      options->end > data_bytes) {
    return WithReason(absl::OutOfRangeError(absl::StrCat(
                          "range: got [", options->begin, ", ", options->end,
                          "), want a part of [0, ", data_bytes, ")")),
                      kReasonRange);
  }
  options->receptive_field_bytes = receptive_field_bytes;
  options->warmup_bytes = receptive_field_bytes;
  if (request.has_warmup_bytes()) {
    SPANLM_RETURN_IF_ERROR(CheckRange("warmup_bytes", request.warmup_bytes(),
                                      int64_t{-1},
                                      std::numeric_limits<int64_t>::max()));
    options->warmup_bytes = request.warmup_bytes();
  }
  if (request.has_progress_interval()) {
    SPANLM_ASSIGN_OR_RETURN(
        options->progress_interval,
        ParseDuration("progress_interval", request.progress_interval()));
    SPANLM_RETURN_IF_ERROR(
        CheckDuration("progress_interval", options->progress_interval,
                      kMinProgressInterval, kMaxProgressInterval));
  }
  if (request.checkpoint_spans()) {
    options->block_bytes = kSpanBlockBytes;
    const int64_t block_count =
        (options->end - options->begin) / kSpanBlockBytes;
    SPANLM_RETURN_IF_ERROR(CheckRange("checkpoint_spans", block_count,
                                      int64_t{0}, kMaxSpanBlocks,
                                      kReasonLimitExceeded, " blocks"));
    SPANLM_RETURN_IF_ERROR(CheckAnswerSize(
        "checkpoint_spans", kAnswerFrame + block_count * kBlockFrame, limits));
  }
  return input;
}

}  // namespace spanlm
