#include "gateway/etcd/testing/script.h"

#include <sstream>
#include <utility>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/text_format.h>

namespace lockstep::gateway::testing {
namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::Message;
using google::protobuf::MessageFactory;
using google::protobuf::MethodDescriptor;

std::pair<std::string, std::string> split(const std::string& text) {
  const std::size_t space = text.find(' ');
  if (space == std::string::npos) return {text, ""};
  return {text.substr(0, space), text.substr(space + 1)};
}

std::string full_service(const std::string& service) {
  if (service == "Lock") return "v3lockpb.Lock";
  if (service == "Election") return "v3electionpb.Election";
  return "etcdserverpb." + service;
}

const MethodDescriptor* find_method(const std::string& name) {
  const MethodDescriptor* method = DescriptorPool::generated_pool()->FindMethodByName(name);
  LS_MUST(method != nullptr, "no such method");
  return method;
}

std::unique_ptr<Message> make(const google::protobuf::Descriptor* type) {
  return std::unique_ptr<Message>(MessageFactory::generated_factory()->GetPrototype(type)->New());
}

std::string encode(const std::string& method, const std::string& text) {
  const std::unique_ptr<Message> message = make(find_method(method)->input_type());
  LS_MUST(google::protobuf::TextFormat::ParseFromString(text, message.get()), "not a message of this method");
  return message->SerializeAsString();
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

// The header as @REVISION, then the other fields on one line.
std::string describe(Message& message) {
  std::string text;
  if (const auto* field = message.GetDescriptor()->FindFieldByName("header"); field != nullptr) {
    const google::protobuf::Reflection* reflection = message.GetReflection();
    if (reflection->HasField(message, field)) {
      const Message& header = reflection->GetMessage(message, field);
      text = "@" + std::to_string(header.GetReflection()->GetInt64(
                       header, header.GetDescriptor()->FindFieldByName("revision")));
      reflection->ClearField(&message, field);
    }
  }
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  printer.SetTruncateStringFieldLongerThan(80);
  std::string fields;
  printer.PrintToString(message, &fields);
  while (!fields.empty() && fields.back() == ' ') fields.pop_back();
  if (!fields.empty()) text += (text.empty() ? "" : " ") + fields;
  return text.empty() ? "{}" : text;
}

}  // namespace

Script::Script() {
  world_.services.register_with(registry_);
}

std::string Script::run(const std::string& line) {
  const auto [word, rest] = split(line);
  if (word == "repeat") {
    const auto [times, repeated] = split(rest);
    answers_ = 0;
    counting_ = true;
    for (int i = 0; i < std::stoi(times); ++i) run(repeated);
    counting_ = false;
    return std::exchange(output_, "") + std::to_string(answers_) + " answers\n";
  }
  if (word == "at_once") {
    const auto [times, repeated] = split(rest);
    at_once_ = true;
    for (int i = 0; i < std::stoi(times); ++i) run(repeated);
    at_once_ = false;
    settle();
    return std::exchange(output_, "");
  }
  if (word == "open") {
    const auto [name, call] = split(rest);
    const auto [method, fields] = split(call);
    open(name, method, fields);
  } else if (word == "raw") {
    const auto [method, hex] = split(rest);
    open("", method, "raw " + hex);
  } else if (word.find('/') != std::string::npos) {
    open("", word, rest);
  } else if (calls_.contains(word)) {
    on_call(word, rest);
  } else {
    LS_MUST(world_command(word, rest), "no such command");
  }
  if (at_once_) return "";
  settle();
  return counting_ ? "" : std::exchange(output_, "");
}

bool Script::world_command(const std::string& word, const std::string& rest) {
  const auto [first, second] = split(rest);
  if (word == "with") {
    next_metadata_[first] = second;
  } else if (word == "login") {
    login(first, second);
  } else if (word == "as") {
    token_ = first == "nobody" ? "" : first == "forged" ? "forged" : tokens_.at(first);
  } else if (word == "leader") {
    world_.cluster.set_has_leader(first == "found");
  } else if (word == "learner") {
    world_.cluster.set_is_learner(first == "yes");
  } else if (word == "stop_waiting") {
    world_.services.stop_waiting();
  } else if (word == "advance") {
    world_.strand.advance(std::chrono::milliseconds(std::stoi(first)));
  } else if (word == "fill") {
    for (int i = 0; i < std::stoi(first); ++i) {
      std::string number = std::to_string(i);
      store::PutRequest put;
      put.key = "k" + std::string(4 - number.size(), '0') + number;
      put.value.assign(static_cast<std::size_t>(std::stoi(second)), 'x');
      world_.store.put(std::move(put), {},
                       [](const Result<store::PutResponse>& answer) { LS_MUST(answer.ok()); });
      settle();
    }
  } else {
    return false;
  }
  return true;
}

void Script::login(const std::string& user, const std::string& password) {
  world_.security.authenticate(user, password, {}, [this, user](Result<store::AuthenticateResponse> answer) {
    output_ += answer.ok() ? "a token\n" : answer.status().to_string() + "\n";
    if (answer.ok()) tokens_[user] = std::move(answer->token);
  });
}

void Script::open(const std::string& name, const std::string& short_method, const std::string& request) {
  const std::size_t slash = short_method.find('/');
  const std::string service = full_service(short_method.substr(0, slash));
  const std::string path = "/" + service + "/" + short_method.substr(slash + 1);
  OpenCall open;
  open.method = service + "." + short_method.substr(slash + 1);
  if (!token_.empty()) next_metadata_["token"] = token_;
  open.call = std::make_shared<FakeCall>(path, std::exchange(next_metadata_, {}));
  const bool raw = request.starts_with("raw ");
  if (const rpc::StreamHandlerFactory* factory = registry_.find_streaming(path)) {
    open.handler = (*factory)(open.call);
    if (raw) open.handler->on_message(from_hex(request.substr(4)));
    if (!raw && !request.empty()) open.handler->on_message(encode(open.method, request));
  } else {
    const rpc::UnaryHandler* handler = registry_.find_unary(path);
    LS_MUST(handler != nullptr, "not registered");
    (*handler)(open.call, raw ? from_hex(request.substr(4)) : encode(open.method, request));
  }
  calls_[name] = std::move(open);
}

void Script::on_call(const std::string& name, const std::string& rest) {
  OpenCall& open = calls_.at(name);
  const auto [word, argument] = split(rest);
  if (word == "<") {
    open.handler->on_message(encode(open.method, argument));
  } else if (word == "raw") {
    open.handler->on_message(from_hex(argument));
  } else if (word == "half_close") {
    open.handler->on_half_close();
  } else if (word == "cancel") {
    open.call->cancel();
    if (open.handler) open.handler->on_cancelled();
  } else if (word == "pause") {
    open.call->stop_reading();
  } else {
    LS_MUST(word == "read", "no such command of a call");
    open.call->read();
  }
}

void Script::settle() {
  world_.strand.run();
  for (auto& [name, open] : calls_) print_answers(name, open);
}

void Script::print_answers(const std::string& name, OpenCall& open) {
  const std::string head = name.empty() ? "" : name + ": ";
  while (std::optional<std::string> bytes = open.call->take_answer()) {
    ++answers_;
    const std::unique_ptr<Message> message = make(find_method(open.method)->output_type());
    LS_MUST(message->ParseFromString(*bytes), "the answer is not of the method's type");
    if (!counting_) output_ += head + describe(*message) + "\n";
  }
  if (!open.call->status().has_value() || std::exchange(open.told, true)) return;
  const rpc::GrpcStatus& status = *open.call->status();
  if (!status.ok()) {
    output_ += head + std::string(to_string(status.code)) + " " + status.message + "\n";
  } else if (open.handler) {
    output_ += head + "ends\n";
  }
}

}  // namespace lockstep::gateway::testing
