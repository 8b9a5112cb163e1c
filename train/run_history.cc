// SPDX-License-Identifier: Apache-2.0
#include "train/run_history.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "engine/checkpoint/mapped_file.h"
#include "nlohmann/json.hpp"

namespace spanlm {
namespace {

using Json = nlohmann::json;

// A member of a line of `tag`, and the curve that it is a point of. A later one
// of the same curve takes the earlier one's place.
struct Member {
  absl::string_view tag;
  const char* key = nullptr;
  Curve RunHistory::*curve = nullptr;
};
constexpr Member kMembers[] = {
    {"train_inner", "loss", &RunHistory::train_loss},
    {"train_inner", "bits_per_byte", &RunHistory::train_loss},
    {"train_inner", "lr", &RunHistory::learning_rate},
    {"train_inner", "gnorm", &RunHistory::gradient_norm},
    {"train_inner", "loss_scale", &RunHistory::loss_scale},
    {"train_inner", "wps", &RunHistory::symbols_per_second},
    {"train_inner", "avg_span", &RunHistory::average_span},
    {"train_inner", "max_span", &RunHistory::longest_span},
    {"train_inner", "wall", &RunHistory::seconds},
    {"train_inner", "update", &RunHistory::epochs},
    {"valid", "valid_loss", &RunHistory::valid_loss},
    {"valid", "valid_bits_per_byte", &RunHistory::valid_loss},
    {"train", "train_wall", &RunHistory::seconds}};

// Where a line of `tag` has its update.
struct UpdateKey {
  absl::string_view tag;
  const char* key = nullptr;
};
constexpr UpdateKey kUpdateKeys[] = {{"train_inner", "num_updates"},
                                     {"valid", "valid_num_updates"},
                                     {"train", "train_num_updates"},
                                     {"spans", "num_updates"}};

std::optional<double> ToNumber(const Json& json) {
  double value = 0;
  if (json.is_number()) {
    value = json.get<double>();
  } else if (!json.is_string() ||
             !absl::SimpleAtod(json.get_ref<const std::string&>(), &value)) {
    return std::nullopt;
  }
  return std::isfinite(value) ? std::make_optional(value) : std::nullopt;
}

std::optional<double> NumberAt(const Json& line, const char* key) {
  const auto member = line.find(key);
  return member == line.end() ? std::nullopt : ToNumber(*member);
}

std::string TextAt(const Json& line, const char* key) {
  const auto member = line.find(key);
  return member != line.end() && member->is_string()
             ? member->get<std::string>()
             : "";
}

// Drops what stands at or after `update`.
template <typename Records>
void CutFrom(double update, Records* records) {
  while (!records->empty() && records->back().update >= update) {
    records->pop_back();
  }
}

std::optional<std::vector<std::vector<double>>> SpansOf(const Json& line) {
  const auto layers = line.find("spans");
  if (layers == line.end() || !layers->is_array() || layers->empty()) {
    return std::nullopt;
  }
  std::vector<std::vector<double>> spans;
  for (const Json& heads : *layers) {
    if (!heads.is_array() || heads.empty()) return std::nullopt;
    spans.emplace_back();
    for (const Json& head : heads) {
      const std::optional<double> span = ToNumber(head);
      if (!span.has_value()) return std::nullopt;
      spans.back().push_back(*span);
    }
  }
  return spans;
}

class Reader {
 public:
  void Read(absl::string_view text) {
    for (const absl::string_view line : absl::StrSplit(text, '\n')) {
      if (absl::StripAsciiWhitespace(line).empty()) continue;
      ++history_.lines;
      const Json json = Json::parse(line.begin(), line.end(), nullptr,
                                    /*allow_exceptions=*/false);
      if (json.is_object()) {
        Add(json);
      } else {
        ++history_.skipped_lines;
      }
    }
  }
  RunHistory Take() { return std::move(history_); }

 private:
  void Add(const Json& line) {
    const std::string tag = TextAt(line, "tag");
    const auto* const key =
        std::find_if(std::begin(kUpdateKeys), std::end(kUpdateKeys),
                     [&](const UpdateKey& k) { return k.tag == tag; });
    if (key == std::end(kUpdateKeys)) return;
    const std::optional<double> update = NumberAt(line, key->key);
    if (!update.has_value()) return;
    if (*update < history_.last_update) GoBackTo(*update);
    history_.last_update = *update;
    for (const Member& member : kMembers) {
      if (member.tag != tag) continue;
      const std::optional<double> value = NumberAt(line, member.key);
      if (!value.has_value()) continue;
      Curve& curve = history_.*member.curve;
      CutFrom(*update, &curve);
      curve.push_back({*update, *value});
    }
    if (tag != "spans") return;
    auto spans = SpansOf(line);
    if (!spans.has_value()) return;
    CutFrom(*update, &history_.spans);
    history_.spans.push_back({*update, *std::move(spans)});
  }

  void GoBackTo(double update) {
    ++history_.restarts;
    for (const Member& member : kMembers) {
      CutFrom(update, &(history_.*member.curve));
    }
    CutFrom(update, &history_.spans);
  }

  RunHistory history_;
};

}  // namespace

RunHistory ParseRunHistory(absl::string_view text) {
  Reader reader;
  reader.Read(text);
  return reader.Take();
}

absl::StatusOr<RunHistory> ReadRunHistory(const std::string& path) {
  SPANLM_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  return ParseRunHistory({reinterpret_cast<const char*>(file.bytes().data()),
                          file.bytes().size()});
}

Curve ThinOut(const Curve& curve, size_t most) {
  SPANLM_CHECK(most >= 4);
  if (curve.size() <= most) return curve;
  const size_t buckets = (most - 2) / 2;
  const size_t inner = curve.size() - 2;
  const auto by_value = [](const CurvePoint& a, const CurvePoint& b) {
    return a.value < b.value;
  };
  Curve thin = {curve.front()};
  for (size_t i = 0; i < buckets; ++i) {
    const auto begin = curve.begin() + 1 + i * inner / buckets;
    const auto end = curve.begin() + 1 + (i + 1) * inner / buckets;
    auto [least, greatest] = std::minmax_element(begin, end, by_value);
    if (greatest < least) std::swap(least, greatest);
    thin.push_back(*least);
    if (greatest != least) thin.push_back(*greatest);
  }
  thin.push_back(curve.back());
  return thin;
}

Curve Smooth(const Curve& curve, size_t width) {
  std::vector<double> sums = {0};  // of all points before
  for (const CurvePoint& point : curve) {
    sums.push_back(sums.back() + point.value);
  }
  Curve smooth = curve;
  const size_t half = width / 2;
  for (size_t i = 0; i < curve.size(); ++i) {
    const size_t begin = i < half ? 0 : i - half;
    const size_t end = std::min(i + half + 1, curve.size());
    smooth[i].value =
        (sums[end] - sums[begin]) / static_cast<double>(end - begin);
  }
  return smooth;
}

}  // namespace spanlm
