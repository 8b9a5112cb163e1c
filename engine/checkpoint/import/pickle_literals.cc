// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/import/pickle_literals.h"

#include <cstring>
#include <string>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "base/status_macros.h"

namespace spanlm {
namespace {

absl::Status Wrong(absl::string_view what) { return absl::DataLossError(what); }

PickleNode Integer(PickleKind kind, int64_t value) {
  PickleNode node;
  node.kind = kind;
  node.integer = value;
  return node;
}

PickleNode Text(PickleKind kind, absl::string_view text) {
  PickleNode node;
  node.kind = kind;
  node.text = std::string(text);
  return node;
}

absl::StatusOr<PickleNode> ReadInt(size_t size, PickleInput* input) {
  SPANLM_ASSIGN_OR_RETURN(const uint64_t number, input->Number(size));
  return Integer(PickleKind::kInt, size == 4 ? static_cast<int32_t>(number)
                                             : static_cast<int64_t>(number));
}

// "12", "12L", and of old "00" and "01" for False and True.
absl::StatusOr<PickleNode> ReadDecimal(PickleInput* input) {
  SPANLM_ASSIGN_OR_RETURN(absl::string_view line, input->Line());
  if (line == "00" || line == "01") {
    return Integer(PickleKind::kBool, line == "01" ? 1 : 0);
  }
  if (absl::EndsWith(line, "L")) line.remove_suffix(1);
  int64_t value = 0;
  if (!absl::SimpleAtoi(line, &value)) return Wrong("not a number");
  return Integer(PickleKind::kInt, value);
}

// Two's complement of any length.
absl::StatusOr<PickleNode> ReadLong(size_t size_of_size, PickleInput* input) {
  SPANLM_ASSIGN_OR_RETURN(const uint64_t size, input->Number(size_of_size));
  SPANLM_ASSIGN_OR_RETURN(const absl::string_view bytes, input->Take(size));
  if (size > sizeof(int64_t)) return Text(PickleKind::kLong, bytes);
  const bool negative = !bytes.empty() && (bytes.back() & 0x80) != 0;
  int64_t value = negative ? -1 : 0;
  std::memcpy(&value, bytes.data(), bytes.size());
  return Integer(PickleKind::kInt, value);
}

absl::StatusOr<PickleNode> ReadFloat(bool binary, PickleInput* input) {
  PickleNode node;
  node.kind = PickleKind::kFloat;
  if (binary) {
    SPANLM_ASSIGN_OR_RETURN(const uint64_t big_endian, input->Number(8));
    const uint64_t bits = __builtin_bswap64(big_endian);
    std::memcpy(&node.real, &bits, sizeof(bits));
  } else {
    SPANLM_ASSIGN_OR_RETURN(const absl::string_view line, input->Line());
    if (!absl::SimpleAtod(line, &node.real)) return Wrong("not a number");
  }
  return node;
}

absl::StatusOr<PickleNode> ReadText(PickleKind kind, size_t size_of_size,
                                    PickleInput* input) {
  SPANLM_ASSIGN_OR_RETURN(const uint64_t size, input->Number(size_of_size));
  SPANLM_ASSIGN_OR_RETURN(const absl::string_view text, input->Take(size));
  return Text(kind, text);
}

// The text between the quotes of a Python literal; nothing if it is none.
std::optional<std::string> Unquote(absl::string_view line) {
  if (line.size() < 2 || line.front() != line.back()) return std::nullopt;
  line = line.substr(1, line.size() - 2);
  std::string text;
  while (!line.empty()) {
    size_t used = 1;
    if (line[0] != '\\') {
      text += line[0];
    } else if (line.size() >= 4 && line[1] == 'x') {
      if (!absl::ascii_isxdigit(static_cast<unsigned char>(line[2])) ||
          !absl::ascii_isxdigit(static_cast<unsigned char>(line[3]))) {
        return std::nullopt;
      }
      text += absl::HexStringToBytes(line.substr(2, 2));
      used = 4;
    } else {
      constexpr absl::string_view kEscaped = "\\'\"nrt";
      constexpr absl::string_view kMeaning = "\\'\"\n\r\t";
      const size_t place =
          line.size() < 2 ? absl::string_view::npos : kEscaped.find(line[1]);
      if (place == absl::string_view::npos) return std::nullopt;
      text += kMeaning[place];
      used = 2;
    }
    line.remove_prefix(used);
  }
  return text;
}

absl::StatusOr<PickleNode> ReadLineText(bool quoted, PickleInput* input) {
  SPANLM_ASSIGN_OR_RETURN(const absl::string_view line, input->Line());
  if (!quoted) return Text(PickleKind::kString, line);
  const std::optional<std::string> text = Unquote(line);
  if (!text.has_value()) return Wrong("not a quoted string");
  return Text(PickleKind::kString, *text);
}

absl::StatusOr<std::optional<PickleNode>> ReadNumber(unsigned char opcode,
                                                     PickleInput* input) {
  switch (opcode) {
    case 'N':
      return PickleNode();
    case 0x88:  // NEWTRUE
    case 0x89:  // NEWFALSE
      return Integer(PickleKind::kBool, opcode == 0x88 ? 1 : 0);
    case 'J':
      return ReadInt(4, input);
    case 'K':
      return ReadInt(1, input);
    case 'M':
      return ReadInt(2, input);
    case 'I':
    case 'L':
      return ReadDecimal(input);
    case 0x8a:  // LONG1
      return ReadLong(1, input);
    case 0x8b:  // LONG4
      return ReadLong(4, input);
    case 'F':
    case 'G':
      return ReadFloat(opcode == 'G', input);
    default:
      return std::nullopt;
  }
}

}  // namespace

absl::StatusOr<absl::string_view> PickleInput::Take(uint64_t size) {
  if (size > bytes_.size() - position_) return Wrong("ends early");
  const absl::string_view taken = bytes_.substr(position_, size);
  position_ += size;
  return taken;
}

absl::StatusOr<uint64_t> PickleInput::Number(size_t size) {
  SPANLM_ASSIGN_OR_RETURN(const absl::string_view bytes, Take(size));
  uint64_t number = 0;
  std::memcpy(&number, bytes.data(), size);
  return number;
}

absl::StatusOr<absl::string_view> PickleInput::Line() {
  const size_t end = bytes_.find('\n', position_);
  if (end == absl::string_view::npos) return Wrong("a line without end");
  const absl::string_view line = bytes_.substr(position_, end - position_);
  position_ = end + 1;
  return line;
}

absl::StatusOr<uint64_t> PickleInput::DecimalLine() {
  SPANLM_ASSIGN_OR_RETURN(const absl::string_view line, Line());
  uint64_t number = 0;
  if (!absl::SimpleAtoi(line, &number)) return Wrong("not a number");
  return number;
}

absl::StatusOr<std::optional<PickleNode>> ReadLiteral(unsigned char opcode,
                                                      PickleInput* input) {
  switch (opcode) {
    case 'S':
    case 'V':
      return ReadLineText(opcode == 'S', input);
    case 'U':   // SHORT_BINSTRING
    case 0x8c:  // SHORT_BINUNICODE
      return ReadText(PickleKind::kString, 1, input);
    case 'T':
    case 'X':
      return ReadText(PickleKind::kString, 4, input);
    case 0x8d:  // BINUNICODE8
      return ReadText(PickleKind::kString, 8, input);
    case 'C':
      return ReadText(PickleKind::kBytes, 1, input);
    case 'B':
      return ReadText(PickleKind::kBytes, 4, input);
    case 0x8e:  // BINBYTES8
    case 0x96:  // BYTEARRAY8
      return ReadText(PickleKind::kBytes, 8, input);
    default:
      return ReadNumber(opcode, input);
  }
}

}  // namespace spanlm
