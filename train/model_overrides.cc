// SPDX-License-Identifier: Apache-2.0
#include "train/model_overrides.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"

namespace spanlm {
namespace {

// A cursor over the literal; every failure says where.
class DictParser {
 public:
  explicit DictParser(absl::string_view text) : text_(text) {}

  absl::StatusOr<std::map<std::string, std::string>> Parse() {
    std::map<std::string, std::string> dict;
    SkipSpace();
    if (AtEnd()) return dict;
    if (!Take('{')) return Expected("{");
    while (!Take('}')) {
      if (!dict.empty()) {
        if (!Take(',')) return Expected(", or }");
        if (Take('}')) break;
      }
      SPANLM_ASSIGN_OR_RETURN(std::string key, TakeString("a quoted key"));
      if (!Take(':')) return Expected(":");
      SPANLM_ASSIGN_OR_RETURN(std::string value, TakeValue());
      if (!dict.emplace(key, std::move(value)).second) {
        return absl::InvalidArgumentError(
            absl::StrFormat("--model-overrides: %s comes twice", key));
      }
    }
    if (!AtEnd()) return Expected("the end");
    return dict;
  }

 private:
  bool AtEnd() const { return place_ == text_.size(); }
  char Peek() const { return AtEnd() ? '\0' : text_[place_]; }

  void SkipSpace() {
    while (!AtEnd() && absl::ascii_isspace(Peek())) ++place_;
  }

  // Takes `wanted` and the space behind it, if it is next.
  bool Take(char wanted) {
    if (Peek() != wanted) return false;
    ++place_;
    SkipSpace();
    return true;
  }

  absl::Status Expected(absl::string_view what) const {
    return absl::InvalidArgumentError(
        absl::StrFormat("--model-overrides: expected %s at character %d of %s",
                        what, place_ + 1, text_));
  }

  absl::StatusOr<std::string> TakeString(absl::string_view what) {
    const char quote = Peek();
    if (quote != '\'' && quote != '"') return Expected(what);
    const size_t begin = place_ + 1;
    const size_t end = text_.find(quote, begin);
    const absl::string_view content =
        text_.substr(begin, end == absl::string_view::npos ? end : end - begin);
    if (end == absl::string_view::npos) return Expected("a closing quote");
    if (content.find('\\') != absl::string_view::npos) {
      return Expected("a string without backslash");
    }
    place_ = end + 1;
    SkipSpace();
    return std::string(content);
  }

  absl::StatusOr<std::string> TakeValue() {
    if (Peek() == '\'' || Peek() == '"') return TakeString("a string");
    const size_t begin = place_;
    while (absl::ascii_isalnum(Peek()) || Peek() == '-' || Peek() == '+' ||
           Peek() == '.') {
      ++place_;
    }
    const absl::string_view word = text_.substr(begin, place_ - begin);
    SkipSpace();
    if (word == "True") return std::string("true");
    if (word == "False") return std::string("false");
    double number = 0;
    const bool is_number = !word.empty() && !absl::ascii_isalpha(word.back()) &&
                           absl::SimpleAtod(word, &number);
    if (is_number) return std::string(word);
    place_ = begin;
    return Expected("a number, True, False or a string");
  }

  const absl::string_view text_;
  size_t place_ = 0;
};

}  // namespace

absl::StatusOr<std::map<std::string, std::string>> ParseModelOverrides(
    absl::string_view text) {
  return DictParser(text).Parse();
}

}  // namespace spanlm
