// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/export/export.h"

#include <filesystem>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/atomic_file.h"
#include "base/status_macros.h"
#include "engine/checkpoint/export/layouts.h"
#include "engine/checkpoint/export/symbol_order.h"
#include "engine/checkpoint/mapped_file.h"

namespace spanlm {
namespace {

namespace fs = std::filesystem;

constexpr char kDictionary[] = "dict.txt";
constexpr char kVocabulary[] = "vocab.txt";
constexpr char kWeights[] = "pytorch_model.bin";
constexpr char kConfiguration[] = "config.json";

absl::Status Occupied(const std::string& path, absl::string_view what) {
  return absl::FailedPreconditionError(absl::StrCat(path, ": ", what));
}

absl::Status CheckFileReplaceable(const std::string& path) {
  std::error_code error;
  return fs::is_directory(path, error)
             ? Occupied(path, "is a folder, want the name of a file")
             : absl::OkStatus();
}

// Writes the symbols' text unless it is there, a dictionary perhaps with the
// counts of a training text; another one may belong to another model or data.
absl::Status WriteSymbols(const std::string& path, const std::string& text) {
  std::error_code error;
  if (!fs::exists(path, error)) return WriteFileAtomically(path, text);
  SPANLM_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const absl::string_view there(
      reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  const bool is_dictionary = fs::path(path).filename() == kDictionary;
  if (there == text || (is_dictionary && SameSymbols(there, text))) {
    return absl::OkStatus();
  }
  return Occupied(path,
                  "is there and names other symbols than the model has; "
                  "export to another folder");
}

// The checkpoint at `path`, its symbols beside it as `symbols_name`.
absl::StatusOr<ExportReport> WriteFile(ForeignModel foreign,
                                       const std::string& path,
                                       const char* symbols_name) {
  SPANLM_RETURN_IF_ERROR(CheckFileReplaceable(path));
  ExportReport report;
  report.files.push_back(path);
  report.notes = std::move(foreign.notes);
  if (!foreign.symbols.empty()) {
    const std::string symbols =
        (fs::path(path).parent_path() / symbols_name).string();
    SPANLM_RETURN_IF_ERROR(WriteSymbols(symbols, foreign.symbols));
    report.files.push_back(symbols);
  }
  SPANLM_RETURN_IF_ERROR(WriteFileAtomically(path, foreign.checkpoint));
  return report;
}

// A folder of that name that holds an earlier export, or nothing, or is new.
absl::Status MakeFolder(const std::string& path) {
  std::error_code error;
  if (!fs::exists(path, error)) {
    if (fs::create_directory(path, error)) return absl::OkStatus();
    return absl::UnavailableError(
        absl::StrCat(path, ": create folder: ", error.message()));
  }
  if (!fs::is_directory(path, error)) {
    return Occupied(path, "there is a file of this name");
  }
  if (fs::is_empty(path, error) ||
      fs::exists(fs::path(path) / kWeights, error)) {
    return absl::OkStatus();
  }
  return Occupied(path, absl::StrCat("holds files but no ", kWeights,
                                     ": will not write among them"));
}

absl::StatusOr<ExportReport> WriteFolder(ForeignModel foreign,
                                         const std::string& path) {
  SPANLM_RETURN_IF_ERROR(MakeFolder(path));
  ExportReport report;
  report.files = {(fs::path(path) / kWeights).string(),
                  (fs::path(path) / kConfiguration).string()};
  report.notes = std::move(foreign.notes);
  SPANLM_RETURN_IF_ERROR(
      WriteFileAtomically(report.files[1], foreign.configuration));
  SPANLM_RETURN_IF_ERROR(
      WriteFileAtomically(report.files[0], foreign.checkpoint));
  return report;
}

absl::StatusOr<ForeignModel> Make(const ModelDir& model, ExportFormat format) {
  switch (format) {
    case ExportFormat::kFairseq:
      return MakeFairseq(model);
    case ExportFormat::kOriginal:
      return MakeOriginal(model);
    case ExportFormat::kHuggingFace:
      return MakeHuggingFace(model);
  }
  return absl::InternalError("no such format");
}

}  // namespace

absl::StatusOr<ExportFormat> ParseExportFormat(absl::string_view name) {
  if (name == "fairseq") return ExportFormat::kFairseq;
  if (name == "original") return ExportFormat::kOriginal;
  if (name == "huggingface") return ExportFormat::kHuggingFace;
  return absl::InvalidArgumentError(absl::StrCat(
      "format: \"", name, "\", want fairseq, original or huggingface"));
}

absl::StatusOr<ExportReport> ExportModel(const ModelDir& model,
                                         ExportFormat format,
                                         const std::string& destination) {
  SPANLM_ASSIGN_OR_RETURN(ForeignModel foreign, Make(model, format));
  if (format == ExportFormat::kHuggingFace) {
    return WriteFolder(std::move(foreign), destination);
  }
  return WriteFile(
      std::move(foreign), destination,
      format == ExportFormat::kFairseq ? kDictionary : kVocabulary);
}

}  // namespace spanlm
