// SPDX-License-Identifier: Apache-2.0
#include "client/resume_file.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/atomic_file.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace spanlm {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kFormat[] = "spanlm-evaluation-resume-1";

Json OrderToJson(const EvaluationOrder& order) {
  return Json{{"model", order.model},
              {"dataset", order.dataset},
              {"protocol", v1::EvaluationProtocol_Name(order.protocol)},
              {"begin", order.begin},
              {"end", order.end},
              {"shard_count", order.shard_count}};
}

Json ShardToJson(const EvaluationShard& shard) {
  Json json{{"begin", shard.begin},
            {"end", shard.end},
            {"scored_bytes", shard.scored_bytes},
            {"total_bytes", shard.total_bytes},
            {"accumulator", shard.bits.ToString()},
            {"resume_token", absl::Base64Escape(shard.resume_token)}};
  if (shard.has_result) {
    json["result"] = absl::Base64Escape(shard.result.SerializeAsString());
  }
  return json;
}

absl::Status NotAResumeFile(const std::string& path, absl::string_view why) {
  return absl::DataLossError(
      absl::StrCat(path, " is not a resume file: ", why));
}

// `json` has been checked to hold the key with the right type.
bool HasShardFields(const Json& json) {
  for (const char* key : {"begin", "end", "scored_bytes", "total_bytes"}) {
    if (!json.contains(key) || !json[key].is_number_integer()) return false;
  }
  for (const char* key : {"accumulator", "resume_token"}) {
    if (!json.contains(key) || !json[key].is_string()) return false;
  }
  return !json.contains("result") || json["result"].is_string();
}

absl::StatusOr<EvaluationShard> ShardFromJson(const std::string& path,
                                              const Json& json) {
  if (!json.is_object() || !HasShardFields(json)) {
    return NotAResumeFile(path, "a shard lacks a field");
  }
  EvaluationShard shard;
  shard.begin = json["begin"].get<int64_t>();
  shard.end = json["end"].get<int64_t>();
  shard.scored_bytes = json["scored_bytes"].get<int64_t>();
  shard.total_bytes = json["total_bytes"].get<int64_t>();
  SPANLM_ASSIGN_OR_RETURN(
      shard.bits, BitsTotal::Parse(json["accumulator"].get<std::string>()));
  if (!absl::Base64Unescape(json["resume_token"].get<std::string>(),
                            &shard.resume_token)) {
    return NotAResumeFile(path, "a resume token is not base64");
  }
  if (json.contains("result")) {
    std::string bytes;
    shard.has_result =
        absl::Base64Unescape(json["result"].get<std::string>(), &bytes) &&
        shard.result.ParseFromString(bytes);
    if (!shard.has_result) return NotAResumeFile(path, "a result is damaged");
  }
  return shard;
}

}  // namespace

absl::Status WriteResumeFile(const std::string& path,
                             const EvaluationOrder& order,
                             const std::vector<EvaluationShard>& shards) {
  Json json{{"format", kFormat}, {"order", OrderToJson(order)}};
  json["shards"] = Json::array();
  for (const EvaluationShard& shard : shards) {
    json["shards"].push_back(ShardToJson(shard));
  }
  const absl::Status status =
      WriteFileAtomically(path, absl::StrCat(json.dump(1), "\n"));
  // A disk's UNAVAILABLE is not a server's: to come back would not help.
  return absl::IsUnavailable(status)
             ? absl::FailedPreconditionError(status.message())
             : status;
}

absl::StatusOr<std::vector<EvaluationShard>> ReadResumeFile(
    const std::string& path, const EvaluationOrder& order) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) {
    return std::vector<EvaluationShard>();
  }
  std::ifstream file(path, std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || json.value("format", Json()) != kFormat ||
      !json.contains("order") || !json.contains("shards") ||
      !json["shards"].is_array()) {
    return NotAResumeFile(path, "format, order or shards missing");
  }
  const Json wanted = OrderToJson(order);
  for (const auto& [key, value] : wanted.items()) {
    const Json found =
        json["order"].is_object() ? json["order"].value(key, Json()) : Json();
    if (found != value) {
      return absl::FailedPreconditionError(absl::StrCat(
          path, " is of another evaluation: ", key, " is ", found.dump(),
          ", not ", value.dump(), "; remove the file or name another"));
    }
  }
  std::vector<EvaluationShard> shards;
  for (const Json& entry : json["shards"]) {
    SPANLM_ASSIGN_OR_RETURN(shards.emplace_back(), ShardFromJson(path, entry));
  }
  if (shards.empty()) return NotAResumeFile(path, "it has no shards");
  return shards;
}

}  // namespace spanlm
