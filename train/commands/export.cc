// SPDX-License-Identifier: Apache-2.0
#include "train/commands/export.h"

#include <filesystem>
#include <iostream>
#include <memory>

#include "CLI/CLI.hpp"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "engine/checkpoint/export/export.h"
#include "engine/checkpoint/model_dir.h"
#include "train/exit_codes.h"
#include "train/model_source.h"

namespace spanlm {
namespace {

constexpr char kFormats[] =
    "fairseq: a .pt of adaptive_span (renormalize false) or transformer_xl\n"
    "  (memory_start zero), and dict.txt beside it. A model of plain bytes is\n"
    "  renumbered to fairseq's four specials and then the bytes in their "
    "order:\n"
    "  binarize texts for it with fairseq-preprocess --srcdict dict.txt.\n"
    "original: a .pt of the published Adaptive-Span code (renormalize true), "
    "and\n"
    "  vocab.txt beside it, the head of a train.txt that makes its main.py\n"
    "  number symbols as the model does.\n"
    "huggingface: a folder of pytorch_model.bin and config.json (TransfoXL;\n"
    "  memory_start zero).\n"
    "Parameters are written as float32. A format that computes something else\n"
    "than the model is refused.\n\n";

}  // namespace

void AddExportCommand(CLI::App& app, int* exit_code) {
  auto options = std::make_shared<ExportCommandOptions>();
  CLI::App* command = app.add_subcommand(
      "export", "Writes a checkpoint that the published code loads.");
  command
      ->add_option("model", options->model,
                   "a model directory or a foreign checkpoint")
      ->type_name("MODEL")
      ->required();
  command
      ->add_option("destination", options->destination,
                   "the file, or for huggingface the folder, to write")
      ->type_name("DST")
      ->required();
  command
      ->add_option("--format", options->format,
                   "whose checkpoint: fairseq, original or huggingface")
      ->type_name("FORMAT")
      ->required();
  command->footer(absl::StrCat(kFormats, app.get_footer()));
  command->callback([options, exit_code] {
    *exit_code = Report(RunExport(*options, std::cout));
  });
}

absl::Status RunExport(const ExportCommandOptions& options, std::ostream& out) {
  absl::StatusOr<ExportFormat> format = ParseExportFormat(options.format);
  if (!format.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--", format.status().message()));
  }
  SPANLM_ASSIGN_OR_RETURN(const ModelSource source,
                          FindModel(options.model, {}));
  SPANLM_ASSIGN_OR_RETURN(const ModelDir model,
                          ModelDir::Open(source.model_dir));
  const absl::StatusOr<ExportReport> report =
      ExportModel(model, *format, options.destination);
  if (!report.ok()) {
    return absl::Status(
        report.status().code(),
        absl::StrCat(options.model, ": ", report.status().message()));
  }
  out << absl::StreamFormat("%s model of %d parameters, for %s:\n",
                            Name(model.config()->architecture),
                            model.parameter_count(), options.format);
  for (const std::string& file : report->files) {
    std::error_code error;
    out << absl::StreamFormat("  %s, %d bytes\n", file,
                              std::filesystem::file_size(file, error));
  }
  for (const std::string& note : report->notes) out << "note: " << note << "\n";
  return absl::OkStatus();
}

}  // namespace spanlm
