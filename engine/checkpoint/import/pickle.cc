// SPDX-License-Identifier: Apache-2.0
#include "engine/checkpoint/import/pickle.h"

#include <optional>
#include <unordered_map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "engine/checkpoint/import/pickle_builder.h"
#include "engine/checkpoint/import/pickle_literals.h"

namespace spanlm {
namespace {

constexpr size_t kMaxHeld = size_t{1} << 20;  // on the stack and remembered
constexpr uint64_t kMaxProtocol = 5;

absl::Status Wrong(absl::string_view what) { return absl::DataLossError(what); }

// The stack machine that a pickle is a program of.
class PickleMachine {
 public:
  explicit PickleMachine(absl::string_view bytes) : input_(bytes) {}

  absl::StatusOr<Pickle> Run() {
    while (!input_.at_end()) {
      const size_t start = input_.position();
      SPANLM_ASSIGN_OR_RETURN(const uint64_t opcode, input_.Number(1));
      if (opcode == '.') {
        const absl::StatusOr<PickleId> root = Pop();
        if (!root.ok()) return At(start, root.status());
        return builder_.Take(*root, input_.position());
      }
      const absl::Status status = Step(static_cast<unsigned char>(opcode));
      if (!status.ok()) return At(start, status);
      if (stack_.size() + marks_.size() + memo_.size() > kMaxHeld) {
        return absl::FailedPreconditionError(
            absl::StrCat("pickle: more than ", kMaxHeld, " values at once"));
      }
    }
    return Wrong("pickle: ends without its STOP");
  }

 private:
  static absl::Status At(size_t offset, const absl::Status& status) {
    return absl::Status(status.code(), absl::StrCat("pickle, offset ", offset,
                                                    ": ", status.message()));
  }

  absl::Status Step(unsigned char opcode) {
    SPANLM_ASSIGN_OR_RETURN(std::optional<PickleNode> literal,
                            ReadLiteral(opcode, &input_));
    if (literal.has_value()) return Push(builder_.Add(*std::move(literal)));
    if (const auto status = StepContainer(opcode)) return *status;
    if (const auto status = StepStack(opcode)) return *status;
    if (const auto status = StepObject(opcode)) return *status;
    return Wrong(absl::StrFormat("opcode 0x%02x is not supported", opcode));
  }

  std::optional<absl::Status> StepContainer(unsigned char opcode) {
    switch (opcode) {
      case ']':
        return Push(builder_.Add(PickleKind::kList));
      case '}':
        return Push(builder_.Add(PickleKind::kDict));
      case ')':
        return Push(builder_.Add(PickleKind::kTuple));
      case 0x8f:  // EMPTY_SET
        return Push(builder_.Add(PickleKind::kSet));
      case 'l':
        return PushMarked(PickleKind::kList);
      case 't':
        return PushMarked(PickleKind::kTuple);
      case 0x91:  // FROZENSET
        return PushMarked(PickleKind::kSet);
      case 'd':
        return PushMarkedDict();
      case 0x85:  // TUPLE1
      case 0x86:
      case 0x87:  // TUPLE3
        return PushTuple(opcode - 0x84);
      case 'a':
        return AppendLast(1);
      case 's':
        return AppendLast(2);
      case 'e':
      case 0x90:  // ADDITEMS
      case 'u':
        return AppendMarked(/*pairs=*/opcode == 'u');
      default:
        return std::nullopt;
    }
  }

  // The stack itself, the memo, and what changes nothing.
  std::optional<absl::Status> StepStack(unsigned char opcode) {
    switch (opcode) {
      case '(':
        marks_.push_back(stack_.size());
        return absl::OkStatus();
      case '0':
        return Pop().status();
      case '1':
        return PopMark().status();
      case '2':
        return PushTop();
      case 'g':
        return PushMemo(input_.DecimalLine());
      case 'h':
        return PushMemo(input_.Number(1));
      case 'j':
        return PushMemo(input_.Number(4));
      case 'p':
        return Remember(input_.DecimalLine());
      case 'q':
        return Remember(input_.Number(1));
      case 'r':
        return Remember(input_.Number(4));
      case 0x94:  // MEMOIZE
        return Remember(memo_.size());
      case 0x80:  // PROTO
        return CheckProtocol(input_.Number(1));
      case 0x95:  // FRAME
        return input_.Number(8).status();
      default:
        return std::nullopt;
    }
  }

  // What would run code elsewhere.
  std::optional<absl::Status> StepObject(unsigned char opcode) {
    switch (opcode) {
      case 'c':
        return PushGlobal();
      case 0x93:  // STACK_GLOBAL
        return PushStackGlobal();
      case 'R':
      case 0x81:  // NEWOBJ
        return Call();
      case 0x92:  // NEWOBJ_EX
        return CallWithKeywords();
      case 'o':
        return CallMarked();
      case 'i':
        return CallNamed();
      case 'b':
        return BuildObject();
      case 'Q':
        return PushPersistent();
      default:
        return std::nullopt;
    }
  }

  // Values below the last mark are out of reach.
  size_t Floor() const { return marks_.empty() ? 0 : marks_.back(); }

  absl::Status Push(absl::StatusOr<PickleId> id) {
    if (id.ok()) stack_.push_back(*id);
    return id.status();
  }

  absl::StatusOr<PickleId> Pop() {
    if (stack_.size() <= Floor()) return Wrong("takes from an empty stack");
    const PickleId id = stack_.back();
    stack_.pop_back();
    return id;
  }

  absl::StatusOr<PickleId> Top() const {
    if (stack_.size() <= Floor()) return Wrong("looks at an empty stack");
    return stack_.back();
  }

  absl::Status PushTop() { return Push(Top()); }

  absl::StatusOr<std::vector<PickleId>> PopMark() {
    if (marks_.empty()) return Wrong("no mark");
    const auto mark = stack_.begin() + static_cast<ptrdiff_t>(marks_.back());
    std::vector<PickleId> items(mark, stack_.end());
    stack_.erase(mark, stack_.end());
    marks_.pop_back();
    return items;
  }

  absl::Status PushMemo(absl::StatusOr<uint64_t> index) {
    if (!index.ok()) return index.status();
    const auto id = memo_.find(*index);
    if (id == memo_.end()) return Wrong("recalls what was not remembered");
    return Push(id->second);
  }

  absl::Status Remember(absl::StatusOr<uint64_t> index) {
    if (!index.ok()) return index.status();
    SPANLM_ASSIGN_OR_RETURN(memo_[*index], Top());
    return absl::OkStatus();
  }

  static absl::Status CheckProtocol(absl::StatusOr<uint64_t> protocol) {
    if (!protocol.ok()) return protocol.status();
    return *protocol <= kMaxProtocol ? absl::OkStatus()
                                     : Wrong("a protocol above 5");
  }

  absl::Status PushMarked(PickleKind kind) {
    SPANLM_ASSIGN_OR_RETURN(const std::vector<PickleId> items, PopMark());
    return Push(builder_.AddItems(kind, items));
  }

  absl::Status PushMarkedDict() {
    SPANLM_ASSIGN_OR_RETURN(const std::vector<PickleId> items, PopMark());
    SPANLM_ASSIGN_OR_RETURN(const PickleId dict,
                            builder_.Add(PickleKind::kDict));
    SPANLM_RETURN_IF_ERROR(builder_.AppendPairs(dict, items));
    return Push(dict);
  }

  absl::Status PushTuple(size_t size) {
    std::vector<PickleId> items(size);
    for (size_t i = size; i-- > 0;) {
      SPANLM_ASSIGN_OR_RETURN(items[i], Pop());
    }
    return Push(builder_.AddItems(PickleKind::kTuple, items));
  }

  // One element, or a key and its value.
  absl::Status AppendLast(size_t size) {
    std::vector<PickleId> items(size);
    for (size_t i = size; i-- > 0;) {
      SPANLM_ASSIGN_OR_RETURN(items[i], Pop());
    }
    SPANLM_ASSIGN_OR_RETURN(const PickleId container, Top());
    return size == 2 ? builder_.AppendPairs(container, items)
                     : builder_.Append(container, items);
  }

  absl::Status AppendMarked(bool pairs) {
    SPANLM_ASSIGN_OR_RETURN(const std::vector<PickleId> items, PopMark());
    SPANLM_ASSIGN_OR_RETURN(const PickleId container, Top());
    return pairs ? builder_.AppendPairs(container, items)
                 : builder_.Append(container, items);
  }

  absl::Status PushGlobal() {
    SPANLM_ASSIGN_OR_RETURN(const absl::string_view module, input_.Line());
    SPANLM_ASSIGN_OR_RETURN(const absl::string_view name, input_.Line());
    return Push(builder_.AddGlobal(module, name));
  }

  absl::Status PushStackGlobal() {
    SPANLM_ASSIGN_OR_RETURN(const PickleId name, Pop());
    SPANLM_ASSIGN_OR_RETURN(const PickleId module, Pop());
    if (builder_.node(name).kind != PickleKind::kString ||
        builder_.node(module).kind != PickleKind::kString) {
      return Wrong("a class without a name");
    }
    const std::string module_text = builder_.node(module).text;
    const std::string name_text = builder_.node(name).text;
    return Push(builder_.AddGlobal(module_text, name_text));
  }

  absl::Status Call() {
    SPANLM_ASSIGN_OR_RETURN(const PickleId args, Pop());
    SPANLM_ASSIGN_OR_RETURN(const PickleId callable, Pop());
    return Push(builder_.Reduce(callable, args));
  }

  absl::Status CallWithKeywords() {
    SPANLM_RETURN_IF_ERROR(Pop().status());
    return Call();
  }

  // Mark, class, arguments…
  absl::Status CallMarked() {
    SPANLM_ASSIGN_OR_RETURN(std::vector<PickleId> items, PopMark());
    if (items.empty()) return Wrong("an object without a class");
    const PickleId callable = items.front();
    items.erase(items.begin());
    SPANLM_ASSIGN_OR_RETURN(const PickleId args,
                            builder_.AddItems(PickleKind::kTuple, items));
    return Push(builder_.Reduce(callable, args));
  }

  // Mark, arguments…; the class follows in the text.
  absl::Status CallNamed() {
    SPANLM_RETURN_IF_ERROR(PushGlobal());
    SPANLM_ASSIGN_OR_RETURN(const PickleId callable, Pop());
    SPANLM_ASSIGN_OR_RETURN(const std::vector<PickleId> items, PopMark());
    SPANLM_ASSIGN_OR_RETURN(const PickleId args,
                            builder_.AddItems(PickleKind::kTuple, items));
    return Push(builder_.Reduce(callable, args));
  }

  absl::Status BuildObject() {
    SPANLM_ASSIGN_OR_RETURN(const PickleId state, Pop());
    SPANLM_ASSIGN_OR_RETURN(const PickleId object, Top());
    builder_.Build(object, state);
    return absl::OkStatus();
  }

  absl::Status PushPersistent() {
    SPANLM_ASSIGN_OR_RETURN(const PickleId id, Pop());
    return Push(builder_.Persistent(id));
  }

  PickleInput input_;
  PickleBuilder builder_;
  std::vector<PickleId> stack_;
  std::vector<size_t> marks_;  // sizes of the stack
  std::unordered_map<uint64_t, PickleId> memo_;
};

}  // namespace

absl::StatusOr<Pickle> Pickle::Parse(absl::string_view bytes) {
  return PickleMachine(bytes).Run();
}

const PickleNode* Pickle::Find(const PickleNode& container,
                               absl::string_view key) const {
  const PickleNode* dict = &container;
  if (container.kind == PickleKind::kRecord) dict = &node(container.state);
  if (dict->kind != PickleKind::kDict) return nullptr;
  // From the back: of a key that stands twice the last counts.
  for (size_t i = dict->items.size(); i >= 2; i -= 2) {
    const PickleNode& entry = node(dict->items[i - 2]);
    if (entry.kind == PickleKind::kString && entry.text == key) {
      return &node(dict->items[i - 1]);
    }
  }
  return nullptr;
}

}  // namespace spanlm
