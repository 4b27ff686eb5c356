# The history where fish keeps its own, written at every prompt, and completion for src/train.py.
HISTFILE=$HOME/.history/bash_history
PROMPT_COMMAND='history -a'
if [ -f /workspace/hydra/tab_completion_bash ]; then
    . /workspace/hydra/tab_completion_bash
fi
