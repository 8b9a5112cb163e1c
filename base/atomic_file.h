// SPDX-License-Identifier: Apache-2.0
// Files that are either wholly there or not at all.
#pragma once

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace spanlm {

// Writes `data` to a temporary name beside `path`, syncs it, renames it over
// `path` and syncs the folder: after a crash `path` holds the old bytes or the
// new ones. kUnavailable with path and cause if the disk refuses (full, no
// permission, no such folder); the temporary file is then gone.
absl::Status WriteFileAtomically(const std::string& path,
                                 absl::string_view data);

// Syncs a folder, so that renames inside it survive a crash.
absl::Status SyncFolder(const std::string& path);

}  // namespace spanlm
