// A stand-in for upstream's Go proxy on the real net/http: HTTP/1.1 with connections that are kept, answers of more
// than 2 KB in chunks. /init starts one child, which stays: a line of its stdin for each run, a line of its descriptor 3
// for each answer. The child is told nothing of who asks, so a second /run beside the first would get the first one's
// answer: here it ends the container, with 9. A run that takes too long is never stopped.
//
// As "exec" the same program is an action: that of a zip, or of source text, which "compiles" unless it says otherwise.
// It does what its arguments tell it, and says what its code is.
package main

import (
	"archive/zip"
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

const sentinel = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX\n"
const place = "/action/"

type object = map[string]any

type proxy struct {
	stdin   io.Writer
	answers *bufio.Reader
	busy    atomic.Bool
}

func main() {
	if filepath.Base(os.Args[0]) == "exec" {
		act()
		return
	}
	made := &proxy{}
	http.HandleFunc("/init", made.init)
	http.HandleFunc("/run", made.run)
	fmt.Fprintln(os.Stderr, http.ListenAndServe(":8080", nil))
	os.Exit(1)
}

func answer(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body)
}

func fail(w http.ResponseWriter, status int, text string) {
	body, _ := json.Marshal(object{"error": text})
	answer(w, status, body)
}

func (p *proxy) init(w http.ResponseWriter, r *http.Request) {
	var message struct {
		Value struct {
			Code   string            `json:"code"`
			Binary bool              `json:"binary"`
			Env    map[string]string `json:"env"`
		} `json:"value"`
	}
	if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
		fail(w, 400, "Error unmarshaling request: "+err.Error())
		return
	}
	value := message.Value
	switch {
	case p.answers != nil:
		fail(w, 403, "Cannot initialize the action more than once.")
	case value.Code == "":
		fail(w, 403, "Missing main/no code to execute.")
	default:
		if err := p.begin(value.Code, value.Binary, value.Env); err != nil {
			os.Stdout.WriteString(sentinel)
			os.Stderr.WriteString(sentinel)
			fail(w, 502, "cannot start action: "+err.Error())
			return
		}
		answer(w, 200, []byte(`{"ok":true}`+"\n"))
	}
}

func (p *proxy) begin(code string, binary bool, env map[string]string) error {
	program, err := "/proxy/exec", error(nil)
	if binary {
		program, err = place+"exec", extract(code)
	} else if strings.Contains(code, "syntax error") {
		err = fmt.Errorf("the action does not compile")
	}
	if err != nil {
		return err
	}
	child := exec.Command(program)
	child.Env = os.Environ()
	for key, text := range env {
		child.Env = append(child.Env, key+"="+text)
	}
	if !binary {
		child.Env = append(child.Env, "CODE="+code)
	}
	child.Stdout, child.Stderr = os.Stdout, os.Stderr
	reader, writer, err := os.Pipe()
	if err != nil {
		return err
	}
	child.ExtraFiles = []*os.File{writer}
	p.stdin, _ = child.StdinPipe()
	if err := child.Start(); err != nil {
		return err
	}
	writer.Close()
	go child.Wait()
	p.answers = bufio.NewReader(reader)
	return nil
}

func extract(code string) error {
	data, err := base64.StdEncoding.DecodeString(code)
	if err != nil {
		return err
	}
	found, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	for _, each := range found.File {
		inside, err := each.Open()
		if err != nil {
			return err
		}
		content, err := io.ReadAll(inside)
		if err != nil {
			return err
		}
		if err := os.WriteFile(place+filepath.Base(each.Name), content, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (p *proxy) run(w http.ResponseWriter, r *http.Request) {
	if !p.busy.CompareAndSwap(false, true) {
		os.Exit(9)
	}
	defer p.busy.Store(false)
	if p.answers == nil {
		fail(w, 500, "no action defined yet")
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		fail(w, 400, "Error reading request body: "+err.Error())
		return
	}
	fmt.Fprintf(p.stdin, "%s\n", bytes.ReplaceAll(body, []byte("\n"), nil))
	line, err := p.answers.ReadBytes('\n')
	os.Stdout.WriteString(sentinel)
	os.Stderr.WriteString(sentinel)
	if err != nil {
		p.answers = nil
		fail(w, 400, "command exited")
		return
	}
	var result any
	json.Unmarshal(line, &result)
	switch result.(type) {
	case map[string]any, []any:
		answer(w, 200, line)
	default:
		fail(w, 502, "The action did not return a dictionary or array.")
	}
}

func act() {
	answers, lines := os.NewFile(3, "answers"), bufio.NewReader(os.Stdin)
	for runs := 1; ; runs++ {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var message struct {
			Value struct {
				Print  string  `json:"print"`
				Sleep  float64 `json:"sleep"`
				Answer any     `json:"answer"`
				Large  int     `json:"large"`
				Exit   bool    `json:"exit"`
			} `json:"value"`
			Action string `json:"action_name"`
		}
		json.Unmarshal(line, &message)
		value := message.Value
		if value.Print != "" {
			fmt.Println(value.Print)
			fmt.Fprintln(os.Stderr, "also", value.Print)
		}
		if value.Exit {
			os.Exit(3)
		}
		time.Sleep(time.Duration(value.Sleep * float64(time.Second)))
		var told any = object{"runs": runs, "code": os.Getenv("CODE"), "action": message.Action, "env": os.Getenv("__OW_ACTION_NAME"), "x": strings.Repeat("x", value.Large)}
		if value.Answer != nil {
			told = value.Answer
		}
		result, _ := json.Marshal(told)
		fmt.Fprintf(answers, "%s\n", result)
	}
}
