// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "nlohmann/json.hpp"

namespace spanlm {
namespace {

using Json = nlohmann::json;

constexpr size_t kPrefixSize = 8;
// Far above any model's; what is parsed takes some twenty times as much.
constexpr uint64_t kMaxHeaderSize = uint64_t{1} << 24;
constexpr size_t kMaxDimensions = 64;
constexpr int kMaxDepth = 3;  // { name: { "shape": [ … ] } }
constexpr char kMetadata[] = "__metadata__";

struct Entry {
  TensorView view;
  uint64_t begin = 0;
  uint64_t end = 0;
};

std::optional<DType> ParseDType(absl::string_view name) {
  for (const DType dtype :
       {DType::kF16, DType::kBF16, DType::kF32, DType::kF64, DType::kI64,
        DType::kI32, DType::kU8, DType::kBool}) {
    if (Name(dtype) == name) return dtype;
  }
  return std::nullopt;
}

// The bytes of a shape, or nothing where the product leaves int64.
std::optional<uint64_t> ByteCount(const std::vector<int64_t>& shape,
                                  DType dtype) {
  int64_t count = SizeOf(dtype);
  for (const int64_t size : shape) {
    if (size < 0 || __builtin_mul_overflow(count, size, &count)) {
      return std::nullopt;
    }
  }
  return static_cast<uint64_t>(count);
}

// Names become file contents, JSON keys and log lines.
bool IsPlainName(absl::string_view name) {
  return !name.empty() && name != kMetadata &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isgraph(static_cast<unsigned char>(c));
         });
}

// One tensor's {"dtype", "shape", "data_offsets"}; the error says what is
// wrong with it.
absl::StatusOr<Entry> ParseEntry(const std::string& name, const Json& json) {
  const auto wrong = [](absl::string_view what) {
    return absl::DataLossError(what);
  };
  if (!IsPlainName(name)) return wrong("bad name");
  if (!json.is_object() || json.size() != 3 || !json.contains("dtype") ||
      !json.contains("shape") || !json.contains("data_offsets")) {
    return wrong("want dtype, shape and data_offsets");
  }
  Entry entry;
  entry.view.name = name;
  const Json& dtype = json["dtype"];
  const std::optional<DType> parsed =
      dtype.is_string() ? ParseDType(dtype.get<std::string>()) : std::nullopt;
  if (!parsed.has_value()) return wrong("dtype is not known");
  entry.view.dtype = *parsed;

  const Json& shape = json["shape"];
  if (!shape.is_array() || shape.size() > kMaxDimensions) {
    return wrong("shape is not a list of sizes");
  }
  for (const Json& size : shape) {
    if (!size.is_number_unsigned() ||
        size.get<uint64_t>() >
            static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      return wrong("shape holds something that is not a size");
    }
    entry.view.shape.push_back(size.get<int64_t>());
  }
  const Json& offsets = json["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 ||
      !offsets[0].is_number_unsigned() || !offsets[1].is_number_unsigned()) {
    return wrong("data_offsets are not two offsets");
  }
  entry.begin = offsets[0].get<uint64_t>();
  entry.end = offsets[1].get<uint64_t>();
  const std::optional<uint64_t> size =
      ByteCount(entry.view.shape, entry.view.dtype);
  if (entry.begin > entry.end || size != entry.end - entry.begin) {
    return wrong(absl::StrFormat("bytes %d to %d do not fit its shape",
                                 entry.begin, entry.end));
  }
  return entry;
}

// The header as an object; no tensor may stand twice.
absl::StatusOr<Json> ParseHeader(absl::string_view text) {
  std::set<std::string> names;
  std::string twice;
  const auto on_event = [&](int depth, Json::parse_event_t event,
                            Json& parsed) {
    if (event == Json::parse_event_t::key && depth == 1 &&
        !names.insert(parsed.get<std::string>()).second) {
      twice = parsed.get<std::string>();
    }
    return depth <= kMaxDepth;
  };
  Json json = Json::parse(text.begin(), text.end(), on_event,
                          /*allow_exceptions=*/false);
  if (!json.is_object()) {
    return absl::DataLossError("its header is not a JSON object");
  }
  if (!twice.empty()) {
    return absl::DataLossError(
        absl::StrCat("tensor ", absl::CHexEscape(twice), " comes twice"));
  }
  return json;
}

// Checks that the tensors' bytes follow each other from the first byte to the
// last and points the views at them.
absl::StatusOr<std::map<std::string, TensorView>> Place(
    std::vector<Entry> entries, absl::Span<const std::byte> data) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::map<std::string, TensorView> tensors;
  uint64_t position = 0;
  for (Entry& entry : entries) {
    if (entry.begin != position) {
      return absl::DataLossError(
          absl::StrFormat("tensor %s begins at byte %d of the data, want %d",
                          entry.view.name, entry.begin, position));
    }
    if (entry.end > data.size()) {
      return absl::DataLossError(
          absl::StrFormat("tensor %s ends at byte %d of the data, which has %d",
                          entry.view.name, entry.end, data.size()));
    }
    position = entry.end;
    entry.view.bytes = data.subspan(entry.begin, entry.end - entry.begin);
    const std::string name = entry.view.name;
    tensors.emplace(name, std::move(entry.view));
  }
  if (position != data.size()) {
    return absl::DataLossError(absl::StrFormat(
        "%d bytes follow the last tensor", data.size() - position));
  }
  return tensors;
}

absl::StatusOr<std::map<std::string, TensorView>> Parse(
    absl::Span<const std::byte> bytes) {
  if (bytes.size() < kPrefixSize) {
    return absl::DataLossError("too short for a safetensors file");
  }
  uint64_t header_size = 0;
  std::memcpy(&header_size, bytes.data(), kPrefixSize);
  if (header_size > kMaxHeaderSize ||
      header_size > bytes.size() - kPrefixSize) {
    return absl::DataLossError(absl::StrFormat(
        "its header claims %d bytes, want at most %d", header_size,
        std::min<uint64_t>(kMaxHeaderSize, bytes.size() - kPrefixSize)));
  }
  SPANLM_ASSIGN_OR_RETURN(
      const Json header,
      ParseHeader({reinterpret_cast<const char*>(bytes.data()) + kPrefixSize,
                   header_size}));
  std::vector<Entry> entries;
  for (const auto& [name, json] : header.items()) {
    if (name == kMetadata) continue;
    absl::StatusOr<Entry> entry = ParseEntry(name, json);
    if (!entry.ok()) {
      return absl::DataLossError(absl::StrCat("tensor ", absl::CHexEscape(name),
                                              ": ", entry.status().message()));
    }
    entries.push_back(*std::move(entry));
  }
  return Place(std::move(entries), bytes.subspan(kPrefixSize + header_size));
}

}  // namespace

TensorView TensorData::view() const {
  return {name,
          dtype,
          shape,
          {reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()}};
}

absl::StatusOr<Safetensors> Safetensors::Open(const std::string& path) {
  SPANLM_ASSIGN_OR_RETURN(MappedFile file, MappedFile::Open(path));
  absl::StatusOr<std::map<std::string, TensorView>> tensors =
      Parse(file.bytes());
  if (!tensors.ok()) {
    return absl::DataLossError(
        absl::StrCat(path, ": ", tensors.status().message()));
  }
  return Safetensors(path, std::move(file), *std::move(tensors));
}

absl::StatusOr<TensorView> Safetensors::Find(absl::string_view name) const {
  const auto tensor = tensors_.find(std::string(name));
  if (tensor != tensors_.end()) return tensor->second;
  return absl::NotFoundError(absl::StrCat(path_, ": no tensor ", name));
}

std::vector<std::string> Safetensors::names() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors_) names.push_back(name);
  return names;
}

absl::StatusOr<std::string> SerializeSafetensors(
    absl::Span<const TensorData> tensors) {
  std::string header = "{";
  std::set<absl::string_view> names;
  uint64_t position = 0;
  for (const TensorData& tensor : tensors) {
    if (!IsPlainName(tensor.name)) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor name \"", absl::CHexEscape(tensor.name),
                       "\": want printable ASCII without blanks"));
    }
    if (!names.insert(tensor.name).second) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", tensor.name, " comes twice"));
    }
    if (ByteCount(tensor.shape, tensor.dtype) != tensor.bytes.size()) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", tensor.name, ": ", tensor.bytes.size(),
                       " bytes do not fit ", Name(tensor.dtype), " [",
                       absl::StrJoin(tensor.shape, ", "), "]"));
    }
    const uint64_t end = position + tensor.bytes.size();
    absl::StrAppend(&header, position == 0 && names.size() == 1 ? "" : ",",
                    Json(tensor.name).dump(), ":{\"dtype\":\"",
                    Name(tensor.dtype), "\",\"shape\":[",
                    absl::StrJoin(tensor.shape, ","), "],\"data_offsets\":[",
                    position, ",", end, "]}");
    position = end;
  }
  header += "}";
  header.resize((header.size() + kPrefixSize - 1) / kPrefixSize * kPrefixSize,
                ' ');
  const uint64_t header_size = header.size();
  std::string file(kPrefixSize, '\0');
  file.reserve(kPrefixSize + header_size + position);
  std::memcpy(file.data(), &header_size, kPrefixSize);
  file += header;
  for (const TensorData& tensor : tensors) file += tensor.bytes;
  return file;
}

}  // namespace spanlm
