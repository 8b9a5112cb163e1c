// SPDX-License-Identifier: Apache-2.0
#include "server/rpc/resume_token.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "server/jobs/reason.h"
#include "server/rpc/status.h"
#include "spanlm/internal/v1/resume_token.pb.h"

namespace spanlm {
namespace {

namespace tokens = ::spanlm::internal::v1;

constexpr int kFormatVersion = 1;
// No text is longer; keeps sums of positions far from overflow.
constexpr int64_t kMaxPosition = int64_t{1} << 60;

// A sum below 2⁶³ bits, which also keeps sums of such sums from overflowing.
bool IsSum(const v1::Accumulator& accumulator) {
  return accumulator.high() >= 0 && accumulator.high() < int64_t{1} << 31;
}

BitsTotal FromProto(const v1::Accumulator& accumulator) {
  return BitsTotal::FromHighLow(accumulator.high(), accumulator.low());
}

absl::Status NoToken() {
  return FieldError("resume_token", "not a token of this service",
                    kReasonFormat);
}

absl::Status Mismatch(absl::string_view what) {
  return WithField(
      WithReason(absl::FailedPreconditionError(absl::StrCat(
                     "resume_token: it belongs to another ", what)),
                 kReasonModelMismatch),
      "resume_token");
}

absl::Status CheckModel(absl::string_view token_digest,
                        absl::string_view token_numerics,
                        absl::string_view digest, absl::string_view numerics) {
  if (token_digest != digest) return Mismatch("model digest");
  if (token_numerics != numerics) return Mismatch("numerics");
  return absl::OkStatus();
}

absl::Status CheckSame(const tokens::EvaluationToken& token,
                       const EvaluationIdentity& identity) {
  SPANLM_RETURN_IF_ERROR(CheckModel(token.model_digest(), token.numerics(),
                                    identity.model_digest, identity.numerics));
  if (token.dataset() != identity.dataset) return Mismatch("data set");
  if (token.data_bytes() != identity.data_bytes) return Mismatch("data size");
  if (token.begin() != identity.begin || token.end() != identity.end) {
    return Mismatch("range");
  }
  if (token.warmup_bytes() != identity.warmup_bytes) {
    return Mismatch("warmup_bytes");
  }
  if (token.block_bytes() != identity.block_bytes) {
    return Mismatch("checkpoint_spans");
  }
  return absl::OkStatus();
}

}  // namespace

v1::Accumulator ToProto(const BitsTotal& total) {
  v1::Accumulator accumulator;
  accumulator.set_high(total.high());
  accumulator.set_low(total.low());
  return accumulator;
}

std::string SealEvaluation(const EvaluationIdentity& identity,
                           const EvaluationPoint& point) {
  tokens::EvaluationToken token;
  token.set_format_version(kFormatVersion);
  token.set_model_digest(identity.model_digest);
  token.set_numerics(identity.numerics);
  token.set_dataset(identity.dataset);
  token.set_data_bytes(identity.data_bytes);
  token.set_begin(identity.begin);
  token.set_end(identity.end);
  token.set_warmup_bytes(identity.warmup_bytes);
  token.set_block_bytes(identity.block_bytes);
  token.set_position(point.state.position);
  *token.mutable_total() = ToProto(point.state.total);
  token.set_digest_state(point.digest.Save());
  for (const BitsTotal& block : point.state.blocks) {
    *token.add_blocks() = ToProto(block);
  }
  return token.SerializeAsString();
}

absl::StatusOr<EvaluationPoint> OpenEvaluation(
    absl::string_view token_bytes, const EvaluationIdentity& identity) {
  tokens::EvaluationToken token;
  if (!token.ParseFromString(std::string(token_bytes)) ||
      token.format_version() != kFormatVersion) {
    return NoToken();
  }
  SPANLM_RETURN_IF_ERROR(CheckSame(token, identity));
  const int64_t scored = token.position() - identity.begin;
  const int64_t blocks =
      identity.block_bytes == 0 ? 0 : scored / identity.block_bytes;
  if (token.position() < identity.begin || token.position() > identity.end ||
      token.blocks_size() != blocks || !IsSum(token.total())) {
    return NoToken();
  }
  absl::StatusOr<Sha256> digest = Sha256::Load(token.digest_state());
  if (!digest.ok()) return NoToken();
  EvaluationPoint point;
  point.state.position = token.position();
  point.state.total = FromProto(token.total());
  for (const v1::Accumulator& block : token.blocks()) {
    if (!IsSum(block)) return NoToken();
    point.state.blocks.push_back(FromProto(block));
  }
  point.digest = *std::move(digest);
  return point;
}

std::string SealScoreStream(const v1::Model& model,
                            const ScoreStreamState& state) {
  tokens::ScoreStreamToken token;
  token.set_format_version(kFormatVersion);
  token.set_model_digest(model.digest());
  token.set_numerics(model.numerics());
  token.set_position(state.position);
  *token.mutable_total() = ToProto(state.total);
  token.set_greedy(state.greedy);
  token.set_unit_bytes(state.unit_bytes);
  *token.mutable_unit_total() = ToProto(state.unit_total);
  return token.SerializeAsString();
}

absl::StatusOr<ScoreStreamState> OpenScoreStream(absl::string_view token_bytes,
                                                 const v1::Model& model) {
  tokens::ScoreStreamToken token;
  if (!token.ParseFromString(std::string(token_bytes)) ||
      token.format_version() != kFormatVersion || token.position() < 0 ||
      token.position() > kMaxPosition || token.unit_bytes() < 0 ||
      token.unit_bytes() > token.position() || !IsSum(token.total()) ||
      !IsSum(token.unit_total())) {
    return NoToken();
  }
  SPANLM_RETURN_IF_ERROR(CheckModel(token.model_digest(), token.numerics(),
                                    model.digest(), model.numerics()));
  ScoreStreamState state;
  state.position = token.position();
  state.total = FromProto(token.total());
  state.greedy = token.greedy();
  state.unit_bytes = token.unit_bytes();
  state.unit_total = FromProto(token.unit_total());
  return state;
}

}  // namespace spanlm
