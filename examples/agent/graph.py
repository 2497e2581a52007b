"""The graph: a model that needs no network, and a question before anything is deleted."""

import asyncio
import os
import re

from langchain_core.language_models.chat_models import BaseChatModel, agenerate_from_stream
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import interrupt


class Parrot(BaseChatModel):
    """A model that needs no network: it repeats what it was told, word by word."""

    @property
    def _llm_type(self):
        return "parrot"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        raise NotImplementedError("an agent that serves many does not block")

    async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs):
        return await agenerate_from_stream(self._astream(messages, stop, run_manager, **kwargs))

    async def _astream(self, messages, stop=None, run_manager=None, **kwargs):
        for word in re.findall(r"\S+\s*", "You said: " + messages[-1].text):
            await asyncio.sleep(float(os.environ.get("WORD_SECONDS", "0.1")))
            chunk = ChatGenerationChunk(message=AIMessageChunk(word))
            if run_manager:
                await run_manager.on_llm_new_token(word, chunk=chunk)
            yield chunk


async def answer(state: MessagesState):
    text = state["messages"][-1].text
    if "delete" in text:
        is_meant = interrupt({"question": f"Really {text}?"}) == "yes"
        return {"messages": [AIMessage("I have only pretended to." if is_meant else "Then I will not.")]}
    return {"messages": [await Parrot().ainvoke(state["messages"])]}


builder = StateGraph(MessagesState)
builder.add_node("answer", answer)
builder.add_edge(START, "answer")
# For `langgraph dev`, which brings a checkpointer of its own.
graph = builder.compile()
